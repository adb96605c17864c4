package egress_test

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/egress"
)

// TestAddresses goes through every range by its first and last address and
// those right outside of it.
func TestAddresses(t *testing.T) {
	t.Parallel()
	cases := map[string]string{ // address → part of the reason; empty: allowed
		"0.0.0.0": "the unspecified address", "0.255.255.255": `"this network" (0.0.0.0/8)`, "1.0.0.0": "",
		"9.255.255.255": "", "10.0.0.0": "private", "10.255.255.255": "private address (10.0.0.0/8)", "11.0.0.0": "",
		"100.63.255.255": "", "100.64.0.0": "carriers", "100.127.255.255": "carriers", "100.128.0.0": "",
		"100.100.100.200": "Alibaba", "168.63.129.15": "", "168.63.129.16": "Azure", "168.63.129.17": "",
		"126.255.255.255": "", "127.0.0.0": "loopback", "127.0.0.1": "loopback", "127.255.255.255": "loopback", "128.0.0.0": "",
		"169.253.255.255": "", "169.254.0.0": "link-local", "169.254.169.254": "metadata", "169.254.255.255": "link-local", "169.255.0.0": "",
		"172.15.255.255": "", "172.16.0.0": "private", "172.31.255.255": "private", "172.32.0.0": "",
		"191.255.255.255": "", "192.0.0.0": "protocols", "192.0.0.192": "protocols", "192.0.0.255": "protocols", "192.0.1.0": "",
		"192.0.1.255": "", "192.0.2.0": "documentation", "192.0.2.255": "documentation", "192.0.3.0": "",
		"192.88.98.255": "", "192.88.99.1": "6to4", "192.88.100.0": "",
		"192.167.255.255": "", "192.168.0.0": "private", "192.168.255.255": "private", "192.169.0.0": "",
		"198.17.255.255": "", "198.18.0.0": "benchmarks", "198.19.255.255": "benchmarks", "198.20.0.0": "",
		"198.51.99.255": "", "198.51.100.0": "documentation", "198.51.100.255": "documentation", "198.51.101.0": "",
		"203.0.112.255": "", "203.0.113.0": "documentation", "203.0.113.255": "documentation", "203.0.114.0": "",
		"223.255.255.255": "", "224.0.0.0": "multicast", "239.255.255.255": "multicast",
		"240.0.0.0": "reserved", "255.255.255.254": "reserved", "255.255.255.255": "broadcast",

		"::": "the unspecified address", "::1": "the loopback address", "::2": "holds an IPv4", "::7f00:1": "holds an IPv4", "::5db8:d822": "holds an IPv4",
		"::ffff:127.0.0.1": "loopback address (127.0.0.0/8)", "::ffff:10.0.0.1": "private", "::ffff:93.184.216.34": "",
		"::ffff:0:7f00:1": "holds an IPv4", "::fffe:7f00:1": "not public",
		"64:ff9b::7f00:1": "a translation of a loopback address (127.0.0.0/8)", "64:ff9b::a9fe:a9fe": "a translation of a link-local",
		"64:ff9b::a00:5": "a translation of a private", "64:ff9b::5db8:d822": "", "64:ff9b::1:0:0": "not public",
		"64:ff9b:1::": "local translators", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff": "local translators", "64:ff9b:2::": "not public",
		"100::": "discarded", "100::ffff:ffff:ffff:ffff": "discarded", "100:0:0:1::5": "dummy", "100:0:0:2::": "not public",
		"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "not public", "2000::": "",
		"2001::": "Teredo", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff": "Teredo", "2001:1::": "protocols", "2001:2::1": "benchmarks",
		"2001:10::": "ORCHID", "2001:1f:ffff::": "ORCHID", "2001:20::": "ORCHID", "2001:2f:ffff::": "ORCHID",
		"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff": "protocols", "2001:200::": "",
		"2001:db7:ffff::": "", "2001:db8::": "documentation", "2001:db8:ffff:ffff::": "documentation", "2001:db9::": "",
		"2001:ffff:ffff::": "", "2002::": "6to4", "2002:7f00:1::": "6to4", "2002:5db8:d822::": "6to4", "2002:ffff:ffff::": "6to4", "2003::": "",
		"2606:4700::6810:85e5": "", "2a00:1450:4001:82a::200e": "",
		"3ffe:ffff:ffff::": "", "3fff::": "documentation", "3fff:fff:ffff::": "documentation", "3fff:1000::": "", "4000::": "not public",
		"5eff:ffff::": "not public", "5f00::": "segment routing", "5f00:ffff::": "segment routing", "5f01::": "not public",
		"fbff:ffff::": "not public", "fc00::": "private", "fd00:ec2::254": "metadata address of AWS", "fd12:3456::1": "private", "fdff:ffff::": "private", "fe00::": "not public",
		"fe80::": "link-local", "fe80::1": "link-local", "febf:ffff::": "link-local", "fec0::": "site-local", "feff:ffff::": "site-local",
		"ff00::": "multicast", "ff02::1": "multicast", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "multicast",
	}
	guard := egress.New(egress.Config{Dial: (&recorder{}).dial})
	for text, reason := range cases {
		host := text
		if strings.Contains(text, ":") {
			host = "[" + text + "]"
		}
		stored := guard.CheckURL("https://" + host + "/path")
		_, dialed := guard.DialContext(t.Context(), "tcp", net.JoinHostPort(text, "443"))
		if reason == "" {
			require.NoError(t, stored, text)
			require.ErrorIs(t, dialed, errDialed, text)
			continue
		}
		for _, err := range []error{stored, dialed} {
			requireBlocked(t, err, reason)
			require.ErrorContains(t, err, egress.Setting, text)
		}
	}
}

// TestOddSpellings: other programs read these as addresses of this machine or of
// its network. None of them reaches a dialer.
func TestOddSpellings(t *testing.T) {
	t.Parallel()
	dialer := &recorder{}
	guard := egress.New(egress.Config{Dial: dialer.dial})
	for _, host := range []string{
		"2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.0x1", "0177.0.0.1", "0177.0.0.01", "127.1", "127.0.1",
		"127.0.0.1.", "127.0.0.01", "0", "0.", "1.2.3.4.5", "256.256.256.256", "localhost", "LOCALHOST", "localhost.", "api.localhost",
		"[127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::1%25lo]", "[fe80::1%25eth0]", "[2606:4700::1%25eth0]",
		"127。0。0。1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127%2e0%2e0%2e1", "ⅼocalhost", "a..b", ".", "..", "x_y!z", "[::1].example.com",
		"127.0.0.1%00.example.com", "127.0.0.1\\@example.com", "example.com@127.0.0.1", "127.0.0.1#@example.com", strings.Repeat("a", 64) + ".com",
	} {
		requireBlocked(t, guard.CheckURL("https://"+host+"/"), "")

		plain := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		_, err := guard.DialContext(t.Context(), "tcp", net.JoinHostPort(plain, "443"))
		requireBlocked(t, err, "")
	}
	require.Empty(t, dialer.all())
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	guard := egress.New(egress.Config{Allow: targets(t, "10.1.0.0/16, billing.internal, fd00:1::/32")})
	cases := map[string]string{
		"https://app.example.com":                    "",
		"https://app.example.com./hook?token=s3cret": "",
		"https://app.example.com:8443/":              "",
		"https://xn--bcher-kva.example":              "",
		"https://my_host.example":                    "",
		"HTTPS://APP.EXAMPLE.COM/":                   "",
		"http://10.1.2.3:8080/hook":                  "",
		"http://billing.internal/hook":               "",
		"http://BILLING.internal.:80":                "",
		"https://[fd00:1::5]/":                       "",

		"http://app.example.com/s3cret?s3cret":           "http://app.example.com is not encrypted: give an https:// address, or let the operator add the host to AUTHSYNC_ALLOW_TARGETS",
		"https://10.0.0.5/s3cret":                        "https://10.0.0.5 is a private address (10.0.0.0/8); give a public one, or let the operator add it to AUTHSYNC_ALLOW_TARGETS",
		"https://[fd00:2::1]:8443/s3cret":                "https://[fd00:2::1]:8443 is a private address (fc00::/7); give a public one, or let the operator add it to AUTHSYNC_ALLOW_TARGETS",
		"https://localhost:9/":                           "https://localhost:9 is this machine itself (RFC 6761); give a name that leads to public addresses only, or let the operator add it to AUTHSYNC_ALLOW_TARGETS",
		"https://2130706433/":                            "https://2130706433 is an address in a form that programs read differently: write it as four decimal numbers, such as 203.0.113.7",
		"https://[fe80::1%25eth0]/":                      "https://[fe80::1%eth0] has a zone (what stands after %), which only means something on one machine: give a public address",
		"https://bücher.example/":                        "https://bücher.example has a host that is no name: write it with letters, digits, hyphens and dots (an international name as xn--…)",
		"https://ada:s3cret@app.example.com/":            "the URL holds a user name or password: leave them out, and give them as a header",
		"https://app.example.com:0/":                     "https://app.example.com:0 has a port that does not exist: it is a number from 1 to 65535",
		"https://app.example.com:65536/":                 "https://app.example.com:65536 has a port that does not exist: it is a number from 1 to 65535",
		"https://app.example.com:s3cret/":                "the URL cannot be read: it looks like https://app.example.com/path",
		"https://app.example.com/\x00s3cret":             "the URL cannot be read: it looks like https://app.example.com/path",
		"ftp://s3cret.example.com":                       "the URL does not begin with https://: give a whole address, such as https://app.example.com/path",
		"s3cret":                                         "the URL does not begin with https://: give a whole address, such as https://app.example.com/path",
		"":                                               "the URL does not begin with https://: give a whole address, such as https://app.example.com/path",
		"https:app.example.com/s3cret":                   "the URL has no host: give a whole address, such as https://app.example.com/path",
		"https://:443/":                                  "the URL has no host: give a whole address, such as https://app.example.com/path",
		"https://a.example/" + strings.Repeat("x", 2048): "the URL is 2066 bytes long: at most 2048 are taken",
	}
	for raw, want := range cases {
		err := guard.CheckURL(raw)
		if want == "" {
			require.NoError(t, err, raw)
			continue
		}
		require.EqualError(t, err, want, raw)
		requireBlocked(t, err, "")
		if !strings.HasPrefix(raw, "ftp") {
			require.NotContains(t, err.Error(), "s3cret")
		}
	}
}

func TestParseTargets(t *testing.T) {
	t.Parallel()
	list := targets(t, " 10.1.0.0/16 ,fd00::/8,192.168.1.7,[::1],, Billing.Internal. ")
	require.Equal(t, "10.1.0.0/16,fd00::/8,192.168.1.7/32,::1/128,billing.internal", list.String())
	require.Equal(t, list, targets(t, list.String()), "what is shown is what is taken")
	require.Equal(t, "10.1.0.0/16,fd00::/8,192.168.1.7/32,::1/128,127.0.0.0/8,::1/128,billing.internal,localhost", list.And(egress.Loopback()).String())
	require.Empty(t, targets(t, " , ").String())
	for text, part := range map[string]string{
		"10.1.2.3/16":         "write 10.1.0.0/16 for the range or 10.1.2.3 for the address",
		"10.0.0.0/33":         "no range",
		"https://app.example": "no range",
		"::ffff:10.0.0.0/104": "write it as IPv4",
		"fe80::1%eth0":        "zone",
		"*.example.com":       "neither",
		"app.example.com:443": "neither",
		"127.1":               "neither",
		"ok.example,b ad":     `"b ad" is neither`,
	} {
		_, err := egress.ParseTargets(text)
		require.ErrorContains(t, err, part, text)
	}
}

// TestNoForbiddenAddressIsAllowed compares with what the standard library
// knows of addresses, over all of them.
func TestNoForbiddenAddressIsAllowed(t *testing.T) {
	t.Parallel()
	guard := egress.New(egress.Config{})
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "size")
		bytes := rapid.SliceOfN(rapid.Byte(), size, size).Draw(rt, "bytes")
		addr, ok := netip.AddrFromSlice(bytes)
		require.True(rt, ok)
		host := addr.String()
		if addr.Is6() {
			host = "[" + host + "]"
		}
		if guard.CheckURL("https://"+host) == nil {
			requirePublic(rt, addr.Unmap())
		}
	})
}

func requirePublic(t require.TestingT, addr netip.Addr) {
	require.True(t, addr.IsGlobalUnicast(), addr)
	require.False(t, addr.IsPrivate(), addr)
	if addr.Is6() {
		require.True(t, netip.MustParsePrefix("2000::/3").Contains(addr) || netip.MustParsePrefix("64:ff9b::/96").Contains(addr), addr)
	}
}

// FuzzCheckURL: what is taken has a public host by https, and a refusal does not
// tell what follows the host.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://app.example.com/path?q", "http://127.0.0.1", "https://[::ffff:7f00:1]:1/", "https://[fe80::1%25lo]", "https://0x7f.1", "//", "https://a@b",
		"https://１２７.1", "https://127.0.0.1./", "https://[64:ff9b::a00:5]",
	} {
		f.Add(seed)
	}
	guard := egress.New(egress.Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		err := guard.CheckURL(raw)
		if err != nil {
			requireBlocked(t, err, "")
			if u, parsed := url.Parse(raw); parsed == nil && len(u.Path) > 8 {
				require.NotContains(t, err.Error(), u.Path)
			}
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.Nil(t, u.User)
		if addr, err := netip.ParseAddr(strings.TrimSuffix(u.Hostname(), ".")); err == nil {
			requirePublic(t, addr.Unmap())
			return
		}
		require.NotRegexp(t, `^(?i:(0x)?[0-9]+(\.(0x)?[0-9]+)*|.*localhost)\.?$`, u.Hostname())
		require.NotContains(t, u.Hostname(), ":")
	})
}

// FuzzParseTargets: a list that is taken is shown in a form that means the same.
func FuzzParseTargets(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8,::1,a.example", "::ffff:1.2.3.4", "0/0", "0.0.0.0/0", "[::1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := egress.ParseTargets(text)
		if err != nil {
			return
		}
		again, err := egress.ParseTargets(list.String())
		require.NoError(t, err)
		require.Equal(t, list.String(), again.String())
		for _, prefix := range list.Prefixes {
			require.True(t, prefix.IsValid() && !prefix.Addr().Is4In6())
		}
	})
}
