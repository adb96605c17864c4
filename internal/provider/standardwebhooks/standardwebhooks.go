// Package standardwebhooks verifies and creates the signatures that Svix and the Standard Webhooks
// specification share (version v1, HMAC-SHA256 over id, timestamp and body). Clerk uses the svix-*
// headers, customers' Better Auth servers webhook-*.
//
// The svix library does the cryptography. This package adds what the library leaves to its caller:
// it accepts an empty key, calls time.Now, takes one secret, and falls back to the webhook-*
// headers if an svix-* one is missing, so that it could check the timestamp of a header that the
// signature does not cover.
package standardwebhooks

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	svix "github.com/svix/svix-webhooks/go"

	"github.com/authsync/authsync/internal/provider"
)

// Tolerance is the specification's maximum distance of the signed timestamp from now, in either
// direction, inclusive.
const Tolerance = 5 * time.Minute

const (
	maxID         = 256
	maxSignature  = 4 << 10
	maxSignatures = 16

	secretPrefix = "whsec_"
)

// Set is a set of three header names. Sets are never mixed.
type Set string

// The header sets. The value is the names' prefix in canonical form.
const (
	Svix     Set = "Svix"
	Standard Set = "Webhook"
)

func (s Set) id() string        { return string(s) + "-Id" }
func (s Set) timestamp() string { return string(s) + "-Timestamp" }
func (s Set) signature() string { return string(s) + "-Signature" }

// In reports whether the request has any header of the set, even an empty one.
func (s Set) In(h http.Header) bool {
	return len(h[s.id()]) > 0 || len(h[s.timestamp()]) > 0 || len(h[s.signature()]) > 0
}

// HasPrefix reports whether a secret has the prefix whsec_, which marks it as base64.
func HasPrefix(secret string) bool {
	return strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(secret), "v1,"), secretPrefix)
}

// ParseSecret returns the key of a secret: base64, padded or not, with or without the prefix whsec_
// (or v1,whsec_, as Supabase writes). The error does not contain the secret.
func ParseSecret(secret string) ([]byte, error) {
	text := strings.TrimPrefix(strings.TrimSpace(secret), "v1,")
	text = strings.TrimPrefix(text, secretPrefix)
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errors.New("it is not base64 behind its whsec_")
	}
	if len(key) == 0 {
		return nil, errors.New("its key is empty")
	}
	return key, nil
}

// Key is a prepared key.
type Key struct {
	webhook  *svix.Webhook
	position string
}

// NewKey prepares a key. position is its secret's position among those given, from 1. It refuses an
// empty key, with which anyone could sign.
func NewKey(key []byte, position int) (Key, error) {
	if len(key) == 0 {
		return Key{}, errors.New("the key is empty")
	}
	webhook, err := svix.NewWebhookRaw(key)
	if err != nil {
		return Key{}, errors.New("the svix library refuses the key")
	}
	return Key{webhook: webhook, position: strconv.Itoa(position)}, nil
}

// Verify checks the headers of one set against all keys. It returns the message id and the position
// of the secret that matched. Errors are those of provider.Verifier.
func Verify(keys []Key, set Set, h http.Header, body []byte, now time.Time) (id, position string, err error) {
	for _, name := range [...]string{set.id(), set.timestamp(), set.signature()} {
		if get(h, name) == "" {
			return "", "", fmt.Errorf("%w: header %s is missing", provider.ErrMissingSignature, strings.ToLower(name))
		}
	}
	id, timestamp, signature := get(h, set.id()), get(h, set.timestamp()), get(h, set.signature())
	if err := checkID(id); err != nil {
		return "", "", err
	}
	if len(signature) > maxSignature || strings.Count(signature, " ") >= maxSignatures {
		return "", "", fmt.Errorf("%w: the signature header is longer than %d bytes or %d signatures", provider.ErrMalformed, maxSignature, maxSignatures)
	}
	if err := checkTimestamp(timestamp, now); err != nil {
		return "", "", err
	}
	// Only these three, so that the library cannot read others.
	fresh := http.Header{Svix.id(): {id}, Svix.timestamp(): {timestamp}, Svix.signature(): {signature}}
	for i := range keys {
		if keys[i].webhook.VerifyIgnoringTimestamp(body, fresh) == nil {
			return id, keys[i].position, nil
		}
	}
	return "", "", provider.ErrNoMatch
}

// checkID refuses a dot, which would make the signed content ambiguous, and anything but visible
// ASCII.
func checkID(id string) error {
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '.' }
	if len(id) > maxID || strings.ContainsFunc(id, odd) {
		return fmt.Errorf("%w: the id is longer than %d bytes or holds a dot or an odd character", provider.ErrMalformed, maxID)
	}
	return nil
}

// checkTimestamp accepts whole seconds exactly as signed: digits without a leading zero, because
// the library formats the number again.
func checkTimestamp(text string, now time.Time) error {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	if len(text) > 12 || text[0] == '0' || strings.ContainsFunc(text, notDigit) {
		return fmt.Errorf("%w: the timestamp is no whole number of seconds", provider.ErrMalformed)
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: the timestamp is no number", provider.ErrMalformed)
	}
	switch at := time.Unix(seconds, 0); {
	case now.Sub(at) > Tolerance:
		return fmt.Errorf("%w: more than %s", provider.ErrTooOld, Tolerance)
	case at.Sub(now) > Tolerance:
		return fmt.Errorf("%w: by more than %s", provider.ErrTooNew, Tolerance)
	}
	return nil
}

// Sign returns the three headers of a set.
func Sign(key []byte, set Set, id string, now time.Time, body []byte) (http.Header, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	k, err := NewKey(key, 1)
	if err != nil {
		return nil, err
	}
	signature, err := k.webhook.Sign(id, now, body)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return http.Header{
		set.id():        {id},
		set.timestamp(): {strconv.FormatInt(now.Unix(), 10)},
		set.signature(): {signature},
	}, nil
}

func get(h http.Header, name string) string { return strings.TrimSpace(h.Get(name)) }
