package providertest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/authsync/authsync/internal/provider"
)

// KeySet is what differs for a provider whose requests are verified by the public keys that it publishes.
type KeySet struct {
	// Keys are the published keys by the names in Subject.Secrets.
	Keys map[provider.Secret]provider.PublicKey
	// Sign makes a request as the provider sends it, signed with the private key of a name.
	Sign func(t *testing.T, sample provider.Sample, o provider.Options, key provider.Secret) (http.Header, []byte)
	// Wire is how a provider sends a text as the event; nil: as it is.
	Wire func(body []byte) []byte
	// Tamper changes a signed body; nil appends a space.
	Tamper func(body []byte) []byte
}

// wire is the body of a request with a text as its event.
func (s Subject) wire(body []byte) []byte {
	if s.KeySet == nil || s.KeySet.Wire == nil {
		return body
	}
	return s.KeySet.Wire(body)
}

// tamper changes the body of a request without its signature.
func (s Subject) tamper(body []byte) []byte {
	if s.KeySet == nil || s.KeySet.Tamper == nil {
		return append(slices.Clone(body), ' ')
	}
	return s.KeySet.Tamper(body)
}

// with gives a verifier the keys of these names.
func (k *KeySet) with(v provider.Verifier, names []provider.Secret) provider.Verifier {
	keys := make(publishedKeys, len(names))
	for i, name := range names {
		keys[i] = k.Keys[name]
	}
	user, uses := v.(provider.KeySetUser)
	if !uses || user.KeySetURL() == "" {
		return v
	}
	return user.WithKeys(keys)
}

// publishedKeys is a key set without a network.
type publishedKeys []provider.PublicKey

// Find implements provider.PublicKeys.
func (p publishedKeys) Find(_, id string) (found []provider.PublicKey, err error) {
	for _, key := range p {
		if id == "" || key.ID == id {
			found = append(found, key)
		}
	}
	return found, nil
}
