package egress_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
)

func TestOriginIsWhereCredentialsGo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://api.example.com/v1?x=y":            "https://api.example.com:443",
		"\u0020HTTPS://API.example.com.:443/\u0020": "https://api.example.com:443",
		"http://api.example.com":                    "http://api.example.com:80",
		"https://api.example.com:8443":              "https://api.example.com:8443",
		"https://[::1]/x":                           "https://[::1]:443",
		"nonsense":                                  "nonsense",
		"https://%zz":                               "https://%zz",
	} {
		require.Equal(t, want, egress.Origin(text))
	}
}

// Databases are private more often than not; this machine and the cloud's metadata are nobody's database.
func TestPrivateStandsForPrivateAddressesAlone(t *testing.T) {
	t.Parallel()
	list, err := egress.ParseTargets("private, db.internal")
	require.NoError(t, err)
	require.Equal(t, "private,db.internal", list.String())
	again, err := egress.ParseTargets(list.String())
	require.NoError(t, err)
	require.Equal(t, list, again)
	none, err := egress.ParseTargets("none")
	require.NoError(t, err)
	require.Equal(t, egress.Targets{}, none)

	guard := egress.New(egress.Config{Allow: list, Setting: egress.DatabaseSetting})
	for _, host := range []string{"10.0.0.5", "172.16.0.1", "192.168.1.7", "100.64.0.9", "fd12:3456::1", "db.example.com", "db", "postgres.default.svc", "8.8.8.8"} {
		require.NoError(t, guard.CheckHost(host), host)
	}
	for host, says := range map[string]string{
		"127.0.0.1":       "is a loopback address (127.0.0.0/8); give a public one, or let the operator add it to AUTHSYNC_ALLOW_DATABASE_TARGETS",
		"::1":             "is the loopback address",
		"localhost":       "is this machine itself (RFC 6761)",
		"db.localhost":    "is this machine itself (RFC 6761)",
		"0.0.0.0":         "is the unspecified address",
		"169.254.169.254": "is a link-local or metadata address",
		"100.100.100.200": "is the metadata address of Alibaba Cloud",
		"fd00:ec2::254":   "is a metadata address of AWS",
		"168.63.129.16":   "is the platform address of Azure",
		"fe80::1":         "is a link-local address",
		"2130706433":      "is an address in a form that programs read differently",
		"0x7f.1":          "is an address in a form that programs read differently",
		"::ffff:7f00:1":   "is a loopback address",
		"64:ff9b::7f00:1": "is a translation of a loopback address",
		"224.0.0.1":       "is a multicast address",
	} {
		require.ErrorContains(t, guard.CheckHost(host), says, host)
	}
	require.ErrorContains(t, egress.New(egress.Config{Allow: none}).CheckHost("10.0.0.5"), "is a private address (10.0.0.0/8)")
}
