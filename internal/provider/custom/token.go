package custom

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// algorithm is one of RFC 7518, section 3.1, or RFC 8037.
type algorithm struct {
	hash  crypto.Hash
	pss   bool
	curve int // bytes of a coordinate; 0: not of an elliptic curve
	ed    bool
}

// algorithms are those with a public key. None with a shared secret is beside them: a token that chose one could be signed with
// the public key.
func algorithms() map[string]algorithm {
	return map[string]algorithm{
		"RS256": {hash: crypto.SHA256}, "RS384": {hash: crypto.SHA384}, "RS512": {hash: crypto.SHA512},
		"PS256": {hash: crypto.SHA256, pss: true}, "PS384": {hash: crypto.SHA384, pss: true}, "PS512": {hash: crypto.SHA512, pss: true},
		"ES256": {hash: crypto.SHA256, curve: 32}, "ES384": {hash: crypto.SHA384, curve: 48}, "ES512": {hash: crypto.SHA512, curve: 66},
		"EdDSA": {ed: true},
	}
}

func algorithmNames() []string { return slices.Sorted(maps.Keys(algorithms())) }

// symmetricHash is the hash of an algorithm with a shared secret, nil of any other.
func symmetricHash(name string) func() hash.Hash {
	switch name {
	case "HS256":
		return sha256.New
	case "HS384":
		return sha512.New384
	case "HS512":
		return sha512.New
	default:
		return nil
	}
}

func symmetricNames() []string { return []string{"HS256", "HS384", "HS512"} }

// verify reports whether a signature of the content was made with the key. A key of another kind makes none.
func (a algorithm) verify(key crypto.PublicKey, content, signature []byte) bool {
	if a.ed {
		public, is := key.(ed25519.PublicKey)
		return is && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, content, signature)
	}
	h := a.hash.New()
	h.Write(content)
	digest := h.Sum(nil)
	switch public := key.(type) {
	case *rsa.PublicKey:
		switch {
		case a.curve > 0:
			return false
		case a.pss:
			return rsa.VerifyPSS(public, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		default:
			return rsa.VerifyPKCS1v15(public, a.hash, digest, signature) == nil
		}
	case *ecdsa.PublicKey:
		if size := (public.Curve.Params().BitSize + 7) / 8; a.curve == 0 || size != a.curve || len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:a.curve]), new(big.Int).SetBytes(signature[a.curve:])
		return ecdsa.Verify(public, digest, r, s)
	default:
		return false
	}
}

// token is a JWS in its compact form.
type token struct {
	header struct {
		Algorithm string   `json:"alg"`
		KeyID     string   `json:"kid"`
		Critical  []string `json:"crit"`
		Base64    *bool    `json:"b64"` // RFC 7797: false means that the payload is signed as it is
	}
	head, payload string // encoded
	signature     []byte
}

// maxKeyID is the maximum length of a key's id.
const maxKeyID = 256

func parseToken(text string) (t token, err error) {
	head, rest, ok := strings.Cut(text, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(signature, ".") {
		return token{}, fmt.Errorf("%w: it is no JWS of three parts", provider.ErrMalformed)
	}
	t.head, t.payload = head, payload
	header, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || len(header) > maxHeader || unmarshalExactly(header, &t.header, "alg", "kid", "crit", "b64") != nil || len(t.header.KeyID) > maxKeyID {
		return token{}, fmt.Errorf("%w: the header of the JWS cannot be read", provider.ErrMalformed)
	}
	if t.signature, err = base64.RawURLEncoding.DecodeString(signature); err != nil || len(t.signature) == 0 {
		return token{}, fmt.Errorf("%w: the signature of the JWS cannot be read", provider.ErrMalformed)
	}
	for _, name := range t.header.Critical {
		if name != "b64" {
			return token{}, fmt.Errorf("%w: the JWS needs an extension that is not known", provider.ErrMalformed)
		}
	}
	if t.header.Base64 != nil && !slices.Contains(t.header.Critical, "b64") {
		return token{}, fmt.Errorf("%w: b64 must be critical", provider.ErrMalformed)
	}
	return t, nil
}

// verifySignature verifies a token over content, which is what follows the first dot. It returns the position of the secret, if
// it is signed with one.
func (v verifier) verifySignature(t token, content []byte) (position string, err error) {
	name := t.header.Algorithm
	if !slices.Contains(v.scheme.Algorithms, name) {
		return "", fmt.Errorf("%w: the JWS is signed by an algorithm that signature.algorithms does not have", provider.ErrFormat)
	}
	signed := slices.Concat([]byte(t.head), []byte{'.'}, content)
	if v.scheme.isSymmetric() {
		return v.verifySymmetric(symmetricHash(name), signed, t.signature)
	}
	return "", v.verifyAsymmetric(t, signed)
}

// verifySymmetric finds the secret that the content is signed with.
func (v verifier) verifySymmetric(newHash func() hash.Hash, signed, signature []byte) (position string, err error) {
	if newHash == nil {
		return "", provider.ErrFormat
	}
	for i, key := range v.keys {
		mac := hmac.New(newHash, key)
		mac.Write(signed)
		if hmac.Equal(mac.Sum(nil), signature) {
			return strconv.Itoa(i + 1), nil
		}
	}
	return "", provider.ErrNoMatch
}

func (v verifier) verifyAsymmetric(t token, signed []byte) error {
	name := t.header.Algorithm
	method, known := algorithms()[name]
	if !known {
		return provider.ErrFormat
	}
	if v.public == nil {
		return provider.ErrKeysUnavailable
	}
	keys, err := v.public.Find(v.scheme.KeySetURL, t.header.KeyID)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if (key.Algorithm == "" || key.Algorithm == name) && method.verify(key.Key, signed, t.signature) {
			return nil
		}
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: the key set has no key of the JWS's kid", provider.ErrNoMatch)
	}
	return provider.ErrNoMatch
}

// verifyToken verifies a body that is a token. It returns the position of the secret, if it is signed with one.
func (v verifier) verifyToken(body []byte, now time.Time) (position string, err error) {
	text := strings.TrimSpace(string(body))
	if text == "" {
		return "", fmt.Errorf("%w: the body is empty", provider.ErrMissingSignature)
	}
	if len(v.scheme.Algorithms) == 0 {
		return "", provider.ErrFormat
	}
	t, err := parseToken(text)
	if err != nil {
		return "", err
	}
	if t.header.Base64 != nil {
		return "", fmt.Errorf("%w: the claims of a token are always base64", provider.ErrMalformed)
	}
	if position, err = v.verifySignature(t, []byte(t.payload)); err != nil {
		return "", err
	}
	claims, err := claimsOf(body)
	if err != nil {
		return "", fmt.Errorf("%w: %w", provider.ErrMalformed, err)
	}
	return position, v.checkClaims(claims, now)
}

// claimsOf are the claims of a body that is a token, which need not be verified.
func claimsOf(body []byte) ([]byte, error) {
	parts := bytes.Split(bytes.TrimSpace(body), []byte{'.'})
	if len(parts) != 3 {
		return nil, errors.New("the body is no token of three parts")
	}
	claims, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		return nil, errors.New("the claims of the token are not base64")
	}
	return claims, nil
}

// verifyJWS verifies a header over the body: a detached JWS (RFC 7515, appendix F), or a token with a hash of the body. It
// returns the position of the secret, if it is signed with one.
func (v verifier) verifyJWS(h http.Header, body []byte, now time.Time) (position string, err error) {
	text, err := v.header(h)
	if err != nil {
		return "", err
	}
	t, err := parseToken(text)
	if err != nil {
		return "", err
	}
	if v.scheme.BodyClaim == "" {
		if t.payload != "" {
			return "", fmt.Errorf("%w: the JWS is not detached: it has a payload of its own", provider.ErrMalformed)
		}
		content := body
		if t.header.Base64 == nil || *t.header.Base64 {
			content = []byte(base64.RawURLEncoding.EncodeToString(body))
		}
		return v.verifySignature(t, content)
	}
	if t.header.Base64 != nil {
		return "", fmt.Errorf("%w: the claims of a token are always base64", provider.ErrMalformed)
	}
	if position, err = v.verifySignature(t, []byte(t.payload)); err != nil {
		return "", err
	}
	claims, err := base64.RawURLEncoding.DecodeString(t.payload)
	if err != nil {
		return "", fmt.Errorf("%w: the claims are not base64", provider.ErrMalformed)
	}
	if err := v.checkClaims(claims, now); err != nil {
		return "", err
	}
	return position, v.checkHash(claims, body)
}

// checkHash compares the hash in a claim with the body's.
func (v verifier) checkHash(claims, body []byte) error {
	var all map[string]json.RawMessage
	var written string
	if json.Unmarshal(claims, &all) != nil || json.Unmarshal(all[v.scheme.BodyClaim], &written) != nil {
		return fmt.Errorf("%w: the token has no claim %.40s", provider.ErrMalformed, v.scheme.BodyClaim)
	}
	given, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(written, "=")))
	if v.scheme.BodyHash == "hex" {
		given, err = hex.DecodeString(written)
	}
	sum := sha256.Sum256(body)
	if err != nil || subtle.ConstantTimeCompare(given, sum[:]) != 1 {
		return fmt.Errorf("%w: the token is about another body", provider.ErrNoMatch)
	}
	return nil
}

// leeway is how far the clocks of two servers may differ.
const leeway = time.Minute

// checkClaims checks issuer, audience and times, as RFC 7519 has them. Times that a token lacks are not required.
func (v verifier) checkClaims(claims []byte, now time.Time) error {
	var c struct {
		Issuer    string          `json:"iss"`
		Audience  json.RawMessage `json:"aud"`
		Expires   *float64        `json:"exp"`
		NotBefore *float64        `json:"nbf"`
		IssuedAt  *float64        `json:"iat"`
	}
	if unmarshalExactly(claims, &c, "iss", "aud", "exp", "nbf", "iat") != nil {
		return fmt.Errorf("%w: the claims are no JSON object with the claims of a token", provider.ErrMalformed)
	}
	if v.scheme.Issuer != "" && c.Issuer != v.scheme.Issuer {
		return fmt.Errorf("%w: the token is of another issuer", provider.ErrNoMatch)
	}
	if v.scheme.Audience != "" && !isFor(c.Audience, v.scheme.Audience) {
		return fmt.Errorf("%w: the token is for another audience", provider.ErrNoMatch)
	}
	seconds := float64(now.UnixMilli()) / 1000
	switch {
	case c.Expires != nil && *c.Expires < seconds-leeway.Seconds():
		return fmt.Errorf("%w: the token has expired", provider.ErrTooOld)
	case c.NotBefore != nil && *c.NotBefore > seconds+leeway.Seconds(), c.IssuedAt != nil && *c.IssuedAt > seconds+leeway.Seconds():
		return fmt.Errorf("%w: the token is not valid yet", provider.ErrTooNew)
	case v.scheme.tolerance > 0 && c.IssuedAt == nil:
		return fmt.Errorf("%w: the token does not say when it was made (iat)", provider.ErrMalformed)
	case v.scheme.tolerance > 0 && *c.IssuedAt < seconds-v.scheme.tolerance.Seconds():
		return fmt.Errorf("%w: more than %s", provider.ErrTooOld, v.scheme.tolerance)
	}
	return nil
}

// unmarshalExactly reads members of these names only. encoding/json would also take those that differ in case: a claim "ISS",
// which a user may be able to choose, is not the issuer.
func unmarshalExactly(object []byte, into any, names ...string) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(name string, _ json.RawMessage) bool { return !slices.Contains(names, name) })
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// isFor reports whether the claim aud, a text or an array of them, has a value.
func isFor(claim json.RawMessage, audience string) bool {
	var single string
	if json.Unmarshal(claim, &single) == nil {
		return single == audience
	}
	var several []string
	return json.Unmarshal(claim, &several) == nil && slices.Contains(several, audience)
}
