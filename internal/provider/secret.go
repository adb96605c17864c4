package provider

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// SecretName names a secret so that people can tell which one is meant: the first two bytes of its SHA-256 in hex.
// They tell the few secrets of an integration apart, and are too few to find out by them whether a guess is right.
func SecretName(s Secret) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:2])
}

// SecretNames names the secrets that verify messages, by Proof.Secret: the first is that of "1".
func (c Credentials) SecretNames() (names []string) {
	for _, s := range c.WebhookSigningSecret {
		names = append(names, SecretName(s))
	}
	if a := c.WebhookAuthorization; a != nil {
		names = append(names, SecretName(a.Token+a.Password+a.HeaderValue))
	}
	return names
}

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
