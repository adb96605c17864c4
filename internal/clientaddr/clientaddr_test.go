package clientaddr_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/clientaddr"
)

func TestAddressOfAClientBehindProxies(t *testing.T) {
	t.Parallel()
	proxies, err := clientaddr.Parse("10.0.0.0/16, 192.0.2.7,2001:db8::/64")
	require.NoError(t, err)
	require.Equal(t, "10.0.0.0/16,192.0.2.7,2001:db8::/64", proxies.String())
	for name, tc := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"NoProxy":                  {"203.0.113.9:1234", nil, "203.0.113.9"},
		"ASenderThatClaimsOne":     {"203.0.113.9:1234", []string{"198.51.100.1"}, "203.0.113.9"},
		"Proxy":                    {"10.0.3.4:1234", []string{"203.0.113.9"}, "203.0.113.9"},
		"TwoProxies":               {"10.0.3.4:1234", []string{"203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		"TwoHeaders":               {"10.0.3.4:1234", []string{"203.0.113.9", "192.0.2.7"}, "203.0.113.9"},
		"WhatTheSenderPutInFront":  {"10.0.3.4:1234", []string{"1.2.3.4, 10.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"OnlyProxies":              {"10.0.3.4:1234", []string{"10.0.0.1"}, "10.0.0.1"},
		"NoHeader":                 {"10.0.3.4:1234", nil, "10.0.3.4"},
		"Nonsense":                 {"10.0.3.4:1234", []string{"203.0.113.9, unknown"}, "10.0.3.4"},
		"WithPort":                 {"10.0.3.4:1234", []string{"203.0.113.9:55"}, "203.0.113.9"},
		"IPv6":                     {"[2001:db8::1]:1234", []string{"2001:db8:ff::9"}, "2001:db8:ff::9"},
		"IPv6InBrackets":           {"[2001:db8::1]:1234", []string{"[2001:db8:ff::9]:443"}, "2001:db8:ff::9"},
		"IPv4WithinIPv6":           {"[::ffff:10.0.3.4]:1234", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"NoAddressOfTheConnection": {"pipe", []string{"203.0.113.9"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{RemoteAddr: tc.remote, Header: http.Header{"X-Forwarded-For": tc.forwarded}}
			require.Equal(t, tc.want, proxies.Of(r).String())
		})
	}
}

func TestProxiesAreChecked(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{"proxy.internal": "no address", "10.0.0.0/33": "no address", "0.0.0.0/0": "all addresses", "::/0": "all addresses"} {
		_, err := clientaddr.Parse(text)
		require.ErrorContains(t, err, says)
	}
	none, err := clientaddr.Parse(" , ")
	require.NoError(t, err)
	require.Empty(t, none)
}
