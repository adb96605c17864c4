package auth0_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
)

// A log stream reports calls of the Management API with their responses, and that of a new invitation
// has its link.
func TestRedactRemovesTheLinksOfInvitations(t *testing.T) {
	t.Parallel()
	v, err := auth0.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	const entry = `{"log_id":"90020260504","data":{"type":"sapi","details":{"request":{"method":"post","path":"/api/v2/organizations/org_1/invitations"},` +
		`"response":{"statusCode":200,"body":{"id":"uinv_1","invitation_url":"LINK","ticket_id":"LINK"}}}}}`
	body := func(value string) string { return strings.ReplaceAll(entry, "LINK", value) }
	require.Equal(t, body("[removed by authsync]"), string(stored(v, []byte(body("https://shop.example.com/login?invitation=l1ve")))))
}

// stored is a body as it is stored.
func stored(v provider.Verifier, body []byte) []byte {
	body, _ = v.Redact(body)
	return body
}
