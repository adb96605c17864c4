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

// A sign-in token and what a verification is carried on with are in the objects of users and others.
func TestRedactRemovesWhatSignsIn(t *testing.T) {
	t.Parallel()
	v, err := clerk.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	const gone = `"[removed by authsync]"`
	body := func(nonce, address, url string) []byte {
		return []byte(`{"type":"user.updated","data":{"id":"user_1","url":` + url + `,"web3_wallets":[{"verification":{"nonce":` + nonce + `}}],` +
			`"external_accounts":[{"verification":{"external_verification_redirect_url":` + address + `}}],"unsafe_metadata":{"nonce":"mine"}}}`)
	}
	given := body(`"l6i2"`, `"https://accounts.google.com/o/oauth2/auth?state=x"`, `"https://x.clerk.accounts.dev/v1/tickets/accept?__clerk_ticket=e.y"`)
	require.Equal(t, string(body(gone, gone, gone)), string(stored(v, given)))
	nothing := body("null", "null", `"https://example.com"`)
	require.Equal(t, string(nothing), string(stored(v, nothing)))
}

// stored is a body as it is stored.
func stored(v provider.Verifier, body []byte) []byte {
	body, _ = v.Redact(body)
	return body
}
