package keyset

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"

	"github.com/authsync/authsync/internal/provider"
)

// Limits of a set. A key's modulus bounds what a verification costs.
const (
	maxKeys    = 50
	maxKeyID   = 256  // bytes; package custom accepts no longer one of a token
	minModulus = 2048 // bits
	maxModulus = 8192
)

// webKey is a key of RFC 7517; its members are those of RFC 7518, section 6, and RFC 8037.
type webKey struct {
	Type      string `json:"kty"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	Curve     string `json:"crv"`
	N         string `json:"n"`
	E         string `json:"e"`
	X         string `json:"x"`
	Y         string `json:"y"`
}

// Parse reads a key set. Keys that do not verify signatures, or not safely, are left out: symmetric ones, those for
// encryption, RSA below 2048 bits, points that are not on their curve; and those whose id no token can have: sets are kept in memory.
func Parse(text []byte) ([]provider.PublicKey, error) {
	var all struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &all) != nil || all.Keys == nil {
		return nil, errors.New("the answer is no JSON Web Key Set")
	}
	if len(all.Keys) > maxKeys {
		return nil, errors.New("the key set has too many keys")
	}
	var keys []provider.PublicKey
	for _, one := range all.Keys {
		var k webKey
		if json.Unmarshal(one, &k) != nil || k.Use != "" && k.Use != "sig" || len(k.ID) > maxKeyID || len(k.Algorithm) > maxKeyID {
			continue
		}
		if key := k.public(); key != nil {
			keys = append(keys, provider.PublicKey{ID: k.ID, Algorithm: k.Algorithm, Key: key})
		}
	}
	return keys, nil
}

// public returns the key, nil if it is none that is accepted.
func (k *webKey) public() crypto.PublicKey {
	switch k.Type {
	case "RSA":
		n, e := number(k.N), number(k.E)
		if n == nil || e == nil || n.BitLen() < minModulus || n.BitLen() > maxModulus || n.Bit(0) == 0 || !e.IsInt64() ||
			e.Int64() < 3 || e.Int64() >= 1<<31 || e.Bit(0) == 0 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "EC":
		return k.point()
	case "OKP":
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || k.Curve != "Ed25519" || len(x) != ed25519.PublicKeySize {
			return nil
		}
		return ed25519.PublicKey(x)
	default:
		return nil
	}
}

func (k *webKey) point() crypto.PublicKey {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[k.Curve]
	if curve == nil {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...)) // refuses what is not on the curve
	if err != nil {
		return nil
	}
	return key
}

func number(text string) *big.Int {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b) > maxModulus/8+1 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// hostOf is the part of an address that is fit for logs.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Host
}
