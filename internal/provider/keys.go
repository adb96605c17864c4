package provider

import (
	"crypto"
	"errors"
)

// ErrKeysUnavailable is an error of Verifier.Verify: the provider's public keys cannot be had right now, so that nothing is
// known of the request. Try again.
var ErrKeysUnavailable = errors.New("the provider's public keys cannot be fetched right now")

// PublicKey is a key of a JSON Web Key Set.
type PublicKey struct {
	ID        string // kid; empty if it has none
	Algorithm string // alg; empty if it is for any that suits it
	Key       crypto.PublicKey
}

// PublicKeys finds the keys of key sets; see keyset.Cache.
type PublicKeys interface {
	// Find returns the keys of an id, or all if the id is empty. None means that the set has no such key. It is bounded in
	// time; the error is ErrKeysUnavailable, wrapped.
	Find(keySetURL, id string) ([]PublicKey, error)
}

// KeySetUser is a verifier that needs public keys. Without them its Verify returns ErrKeysUnavailable.
type KeySetUser interface {
	// KeySetURL is the address of the set, empty if the verifier needs none.
	KeySetURL() string
	// WithKeys returns the verifier with a source of keys.
	WithKeys(keys PublicKeys) Verifier
}
