package provider

import (
	"crypto/rand"
	"encoding/base64"
)

// NewSigningSecret generates a webhook signing secret in the provider's format: "whsec_" and base64
// for Standard Webhooks (Clerk, Better Auth), a random text for Auth0, which sends it as a bearer
// token.
func NewSigningSecret(providerName string) Secret {
	if providerName == Auth0 {
		return Secret(rand.Text())
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand aborts the program instead
	return Secret("whsec_" + base64.StdEncoding.EncodeToString(key))
}
