package publicurl_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/publicurl"
)

func TestWhatAProviderCanReach(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"https://sync.example.com", "https://sync.example.com:8443/below", "https://203.0.113.7", "https://a1b2.ngrok.app"} {
		require.NoError(t, publicurl.CheckReachable(base, "Auth0", ""), base)
	}
	for base, why := range map[string]string{
		"":                            "is not set",
		"://":                         "is not set",
		"http://127.0.0.1:8080":       "http://127.0.0.1:8080 is an address of this machine",
		"https://localhost":           "of this machine",
		"https://LOCALHOST.":          "of this machine",
		"https://app.localhost":       "of this machine",
		"https://[::1]:8443":          "of this machine",
		"https://[::ffff:127.0.0.1]":  "of this machine",
		"https://0.0.0.0":             "of this machine",
		"https://10.1.2.3":            "of this machine or network",
		"https://192.168.0.7":         "network",
		"https://[fe80::1]":           "network",
		"https://sync":                "network",
		"https://laptop.local":        "network",
		"https://sync.corp.internal.": "network",
		"http://sync.example.com":     "is not https://",
	} {
		for _, api := range []string{"", "https://api.example.com", "%zz"} {
			err := publicurl.CheckReachable(base, "Auth0", api)
			require.True(t, fault.Is(err, fault.Invalid), "%q %q: %v", base, api, err)
			require.ErrorContains(t, err, why)
			require.ErrorContains(t, err, "AUTHSYNC_PUBLIC_URL")
			require.ErrorContains(t, err, "by hand")
		}
	}
	// A stand-in on this machine reaches this machine, and no other network.
	require.NoError(t, publicurl.CheckReachable("http://127.0.0.1:8080", "Auth0", "http://127.0.0.1:4000/auth0"))
	require.NoError(t, publicurl.CheckReachable("http://localhost:8080", "Auth0", "http://[::1]:4000"))
	require.Error(t, publicurl.CheckReachable("http://10.0.0.1", "Auth0", "http://127.0.0.1:4000"))
}
