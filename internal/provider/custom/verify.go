package custom

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Limits of what a request may carry.
const (
	maxHeader     = 4 << 10
	maxID         = 256
	maxSignatures = 16
)

// verifier verifies the requests of an integration.
type verifier struct {
	scheme  scheme
	keys    [][]byte               // the secrets, in their sequence
	webhook []standardwebhooks.Key // the same, for Standard Webhooks
	public  provider.PublicKeys    // nil until WithKeys
	secrets []string               // the names of keys to redact
	exclude payload.Exclusion

	listsEvents bool // the elements of an array are the events
}

// Verify implements provider.Verifier. A request proves itself by the one scheme of the definition: others do not count.
func (v verifier) Verify(h http.Header, body []byte, now time.Time) (provider.Proof, error) {
	if !v.scheme.usesKeySet() && len(v.keys) == 0 {
		return provider.Proof{}, provider.ErrNoSecret
	}
	proof := provider.Proof{Method: v.scheme.Scheme}
	var err error
	switch v.scheme.Scheme {
	case schemeStandard:
		proof.MessageID, proof.Secret, err = standardwebhooks.Verify(v.webhook, standardwebhooks.Standard, h, body, now)
	case schemeSvix:
		proof.MessageID, proof.Secret, err = standardwebhooks.Verify(v.webhook, standardwebhooks.Svix, h, body, now)
	case schemeHMAC:
		proof.MessageID, proof.Secret, err = v.verifyHMAC(h, body, now)
	case schemeTimestamped:
		proof.Secret, err = v.verifyTimestamped(h, body, now)
	case schemeJWTBody:
		proof.Secret, err = v.verifyToken(body, now)
	case schemeJWS:
		proof.Secret, err = v.verifyJWS(h, body, now)
	default:
		if v.scheme.Scheme == schemeHeader {
			proof.Method = "custom_header" // so that the receiver stores none that could be the secret
		}
		proof.Secret, err = v.verifyStatic(h)
	}
	if err != nil {
		return provider.Proof{}, err
	}
	return proof, nil
}

// header reads the header with the signature, without its prefix.
func (v verifier) header(h http.Header) (string, error) {
	name := v.scheme.Header
	text := strings.TrimSpace(h.Get(name))
	switch {
	case text == "":
		return "", fmt.Errorf("%w: header %s is missing", provider.ErrMissingSignature, strings.ToLower(name))
	case len(text) > maxHeader:
		return "", fmt.Errorf("%w: header %s is longer than %d bytes", provider.ErrMalformed, strings.ToLower(name), maxHeader)
	}
	rest, found := strings.CutPrefix(text, v.scheme.Prefix)
	if !found {
		// Whoever is told this is not known: the prefix may be a part of the secret.
		return "", fmt.Errorf("%w: header %s does not begin with the prefix of the definition", provider.ErrMalformed, strings.ToLower(name))
	}
	return strings.TrimSpace(rest), nil
}

func (v verifier) verifyHMAC(h http.Header, body []byte, now time.Time) (id, position string, err error) {
	text, err := v.header(h)
	if err != nil {
		return "", "", err
	}
	var at string
	if v.scheme.TimeHeader != "" {
		if at, err = v.besides(h, v.scheme.TimeHeader); err == nil {
			err = v.checkTime(at, now)
		}
		if err != nil {
			return "", "", err
		}
	}
	if v.scheme.IDHeader != "" {
		if id, err = v.besides(h, v.scheme.IDHeader); err == nil {
			err = v.checkID(id)
		}
		if err != nil {
			return "", "", err
		}
	}
	position, err = v.match([]string{text}, v.content(at, id, body))
	if err != nil {
		return "", "", err
	}
	return id, position, nil
}

// besides reads another header that is signed.
func (v verifier) besides(h http.Header, name string) (string, error) {
	text := strings.TrimSpace(h.Get(name))
	if text == "" {
		return "", fmt.Errorf("%w: header %s is missing", provider.ErrMissingSignature, strings.ToLower(name))
	}
	return text, nil
}

func (v verifier) checkID(id string) error {
	between := v.scheme.between()
	odd := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(between, r) }
	if len(id) > maxID || strings.ContainsFunc(id, odd) {
		return fmt.Errorf("%w: the id is longer than %d bytes or holds a character that it must not have", provider.ErrMalformed, maxID)
	}
	return nil
}

// verifyTimestamped verifies t=TIME,v1=SIGNATURE, as WorkOS and Stripe write it. Several signatures are those of several
// secrets, while the sender's is being changed.
func (v verifier) verifyTimestamped(h http.Header, body []byte, now time.Time) (position string, err error) {
	text, err := v.header(h)
	if err != nil {
		return "", err
	}
	var at string
	var signatures []string
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case key == "t" && at != "":
			return "", fmt.Errorf("%w: it has two times", provider.ErrMalformed)
		case key == "t":
			at = value
		case key == v.scheme.Version:
			signatures = append(signatures, value)
		}
	}
	if at == "" || len(signatures) == 0 || len(signatures) > maxSignatures {
		return "", fmt.Errorf("%w: it must look like t=1700000000,%s=5257a8…", provider.ErrMalformed, v.scheme.Version)
	}
	if err := v.checkTime(at, now); err != nil {
		return "", err
	}
	return v.match(signatures, v.content(at, "", body))
}

// content is what is signed, in its pieces.
func (v verifier) content(at, id string, body []byte) [][]byte {
	all := make([][]byte, len(v.scheme.pieces))
	for i, piece := range v.scheme.pieces {
		switch piece {
		case bodyPlace:
			all[i] = body
		case timePlace:
			all[i] = []byte(at)
		case idPlace:
			all[i] = []byte(id)
		default:
			all[i] = []byte(piece)
		}
	}
	return all
}

func (s *scheme) sum(key []byte, content [][]byte) []byte {
	mac := hmac.New(s.hash, key)
	for _, piece := range content {
		mac.Write(piece)
	}
	return mac.Sum(nil)
}

// match finds the secret that one of the signatures was made with.
func (v verifier) match(signatures []string, content [][]byte) (position string, err error) {
	size := v.scheme.hash().Size()
	var given [][]byte
	for _, text := range signatures {
		if got, err := v.scheme.decodeSignature(text); err == nil && len(got) == size {
			given = append(given, got)
		}
	}
	if len(given) == 0 {
		return "", fmt.Errorf("%w: it must be %d bytes in the encoding of the definition", provider.ErrMalformed, size)
	}
	for i, key := range v.keys {
		want := v.scheme.sum(key, content)
		for _, got := range given {
			if hmac.Equal(got, want) {
				return strconv.Itoa(i + 1), nil
			}
		}
	}
	return "", provider.ErrNoMatch
}

// checkTime checks a time as it is signed: digits without a leading zero.
func (v verifier) checkTime(text string, now time.Time) error {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(text) > 15 || text[0] == '0' || strings.ContainsFunc(text, notDigit) {
		return fmt.Errorf("%w: the time is no whole number", provider.ErrMalformed)
	}
	at := time.Unix(n, 0)
	if v.scheme.TimeUnit == "milliseconds" {
		at = time.UnixMilli(n)
	}
	return near(at, now, v.scheme.tolerance)
}

// near checks that a time is not further from now than the tolerance.
func near(at, now time.Time, tolerance time.Duration) error {
	switch {
	case now.Sub(at) > tolerance:
		return fmt.Errorf("%w: more than %s", provider.ErrTooOld, tolerance)
	case at.Sub(now) > tolerance:
		return fmt.Errorf("%w: by more than %s", provider.ErrTooNew, tolerance)
	}
	return nil
}

// verifyStatic compares a header with the secrets. It proves nothing about the body.
func (v verifier) verifyStatic(h http.Header) (position string, err error) {
	text, err := v.header(h)
	if err != nil {
		return "", err
	}
	if v.scheme.Scheme != schemeHeader {
		kind, rest, _ := strings.Cut(text, " ")
		if !strings.EqualFold(kind, v.scheme.Scheme) {
			return "", fmt.Errorf("%w: header authorization is not of the scheme %s", provider.ErrMalformed, v.scheme.Scheme)
		}
		text = strings.TrimSpace(rest)
	}
	given := []byte(text)
	if v.scheme.Scheme == schemeBasic {
		if given, err = base64.StdEncoding.DecodeString(text); err != nil {
			return "", fmt.Errorf("%w: it is not base64", provider.ErrMalformed)
		}
	}
	// Digests, so that the comparison does not reveal the length; and all of them, so that it does not reveal which.
	got, found := sha256.Sum256(given), 0
	for i, key := range v.keys {
		want := sha256.Sum256(key)
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && found == 0 {
			found = i + 1
		}
	}
	if found == 0 {
		return "", provider.ErrNoMatch
	}
	return strconv.Itoa(found), nil
}

// ValidBody implements provider.Verifier. How many events a body holds is known here only if each element of an array is one.
func (v verifier) ValidBody(body []byte) error {
	if v.scheme.Scheme == schemeJWTBody {
		claims, err := claimsOf(body)
		if err != nil {
			return err
		}
		body = claims
	}
	doc, err := payload.ParseBody(body)
	if err != nil || !v.listsEvents || !doc.IsArray() {
		return err
	}
	return payload.CheckCount(doc.Len(), maxEvents)
}

// Redact implements provider.Verifier. Of a body that is a token its claims are stored: they are what it says, and can be
// redacted.
func (v verifier) Redact(body []byte) (stored []byte, excluded []string) {
	if v.scheme.Scheme == schemeJWTBody {
		if claims, err := claimsOf(body); err == nil {
			body = claims
		}
	}
	return v.exclude.Remove(payload.Redact(body, v.secrets...))
}

// KeySetURL implements provider.KeySetUser.
func (v verifier) KeySetURL() string { return v.scheme.KeySetURL }

// WithKeys implements provider.KeySetUser.
func (v verifier) WithKeys(keys provider.PublicKeys) provider.Verifier {
	v.public = keys
	return v
}
