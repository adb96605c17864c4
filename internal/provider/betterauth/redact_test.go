package betterauth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
)

// Whoever has the link of an invitation can accept it. A url of anything else is the customer's own.
func TestRedactRemovesTheLinksOfInvitations(t *testing.T) {
	t.Parallel()
	v, err := betterauth.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	const data = `{"id":"i1","organization":{"id":"o1"},"url":"LINK","link":"LINK","inviteUrl":"LINK","invite_link":"LINK","invitationUrl":"LINK",` +
		`"invitationLink":"LINK","acceptURL":"LINK","accept-link":"LINK"}`
	body := func(head, link string) string {
		return `{` + head + `,"data":` + strings.ReplaceAll(data, "LINK", link) + `}`
	}
	for _, head := range []string{`"type":"invitation.created"`, `"event":"Invitation.accepted"`, `"event":null,"type":"invitation.updated"`} {
		require.Equal(t, body(head, "[removed by authsync]"), string(stored(v, []byte(body(head, "https://app.example.com/x")))))
	}
	for _, head := range []string{`"type":"user.created"`, `"type":"organization.updated"`} {
		require.Equal(t, body(head, "https://example.com"), string(stored(v, []byte(body(head, "https://example.com")))))
	}
}

// A device is let in by both codes. A user_code of anything else is the customer's own.
func TestRedactRemovesTheCodesOfDevices(t *testing.T) {
	t.Parallel()
	v, err := betterauth.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	const gone = `"[removed by authsync]"`
	for body, want := range map[string]string{
		`{"event":"deviceCode.created","data":{"id":"1","deviceCode":"d","userCode":"AB-CD"}}`: `{"event":"deviceCode.created","data":{"id":"1","deviceCode":` + gone + `,"userCode":` + gone + `}}`,
		`{"type":"device-code.updated","data":{"user_code":"AB-CD"}}`:                          `{"type":"device-code.updated","data":{"user_code":` + gone + `}}`,
		`[{"user_code":"AB-CD","device_code":"d"}]`:                                            `[{"user_code":` + gone + `,"device_code":` + gone + `}]`,
		`{"type":"user.created","data":{"id":"u1","userCode":"E-7"}}`:                          `{"type":"user.created","data":{"id":"u1","userCode":"E-7"}}`,
	} {
		require.Equal(t, want, string(stored(v, []byte(body))))
	}
}

// stored is a body as it is stored.
func stored(v provider.Verifier, body []byte) []byte {
	body, _ = v.Redact(body)
	return body
}
