package provider

import (
	"crypto/rand"
	"encoding/base64"
)

// NewSigningSecret makes a webhook signing secret of the form that fits the
// provider: "whsec_" and base64 for Standard Webhooks (Clerk, Better Auth), a
// random text for Auth0, which sends it as a bearer token.
func NewSigningSecret(providerName string) Secret {
	if providerName == Auth0 {
		return Secret(rand.Text())
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	return Secret("whsec_" + base64.StdEncoding.EncodeToString(key))
}
