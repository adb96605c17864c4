package clerk_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
)

// Whoever has the link of an invitation can accept it. A url of anything else is the customer's own.
func TestRedactRemovesTheLinksOfInvitations(t *testing.T) {
	t.Parallel()
	v, err := clerk.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	const link, gone = `"https://accounts.example.com/accept?__clerk_ticket=l1ve"`, `"[removed by authsync]"`
	for typ, data := range map[string]string{
		"organizationInvitation.created": `{"id":"orginv_1","url":LINK}`,
		"invitation.created":             `{"id":"inv_1","url":LINK}`,
		"waitlistEntry.updated":          `{"id":"wle_1","invitation":{"id":"inv_1","url":LINK}}`,
	} {
		body := func(value string) string {
			return strings.ReplaceAll(`{"type":"`+typ+`","data":`+data+`}`, "LINK", value)
		}
		require.Equal(t, body(gone), string(stored(v, []byte(body(link)))))
	}
	unchanged := []byte(`{"type":"user.updated","data":{"id":"user_1","url":"https://example.com"}}`)
	require.Equal(t, bytes.Clone(unchanged), stored(v, unchanged))
}

// stored is a body as it is stored.
func stored(v provider.Verifier, body []byte) []byte {
	body, _ = v.Redact(body)
	return body
}
