package outbound_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/outbound"
)

func TestOriginIsWhereCredentialsGo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://api.example.com/v1?x=y":  "https://api.example.com:443",
		" HTTPS://API.example.com.:443/ ": "https://api.example.com:443",
		"http://api.example.com":          "http://api.example.com:80",
		"https://api.example.com:8443":    "https://api.example.com:8443",
		"https://[::1]/x":                 "https://[::1]:443",
		"nonsense":                        "nonsense",
		"https://%zz":                     "https://%zz",
	} {
		require.Equal(t, want, outbound.Origin(text))
	}
}
