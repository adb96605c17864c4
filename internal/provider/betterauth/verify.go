package betterauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

const (
	signatureHeader = "X-Better-Auth-Signature"
	pluginHeader    = "X-Webhook-Signature"
	pluginPrefix    = "sha256="
)

// specifiedKey is the minimum key length of Standard Webhooks, in bytes.
const specifiedKey = 24

type verifier struct {
	formats []string
	secrets [][]byte               // the keys of the hexadecimal formats
	keys    []standardwebhooks.Key // those of Standard Webhooks
	exclude payload.Exclusion
}

// NewVerifier prepares the secrets for all formats. The hexadecimal ones sign with the bytes of the
// secret as given, whatever it begins with. Standard Webhooks signs with the base64-decoded part
// after whsec_. Without whsec_ a secret is used as its bytes and, if it is base64 of at least 24
// bytes, decoded as well: senders' libraries do either.
func (Provider) NewVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := provider.CheckOwner(provider.BetterAuth, c, o); err != nil {
		return nil, err
	}
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	allowed, err := formats(o)
	if err != nil {
		return nil, err
	}
	if err := c.WebhookSigningSecret.Check("credentials.webhook_signing_secret"); err != nil {
		return nil, err
	}
	if err := provider.CheckExclude(o, needed()); err != nil {
		return nil, err
	}
	v := verifier{formats: allowed, exclude: payload.NewExclusion(o)}
	for i, secret := range c.WebhookSigningSecret {
		text := string(secret)
		if strings.TrimSpace(text) != text {
			return nil, errors.New("credentials.webhook_signing_secret begins or ends with white space: give it exactly as the sender has it")
		}
		v.secrets = append(v.secrets, []byte(text))
		if !slices.Contains(allowed, FormatStandardWebhooks) {
			continue
		}
		keys, err := standardKeys(text)
		if err != nil {
			return nil, fmt.Errorf("credentials.webhook_signing_secret begins with whsec_, but %w: "+
				"copy it again, or restrict options.signature_formats to %s", err, FormatSignature)
		}
		for _, raw := range keys {
			key, err := standardwebhooks.NewKey(raw, i+1)
			if err != nil {
				return nil, fmt.Errorf("credentials.webhook_signing_secret: %w", err)
			}
			v.keys = append(v.keys, key)
		}
	}
	return v, nil
}

// CheckStrength checks the key after whsec_, if it can be decoded, because that is the random part.
func (Provider) CheckStrength(c provider.Credentials, _ provider.Options) error {
	for _, secret := range c.WebhookSigningSecret {
		key := []byte(secret)
		if raw, err := standardwebhooks.ParseSecret(string(secret)); err == nil && standardwebhooks.HasPrefix(string(secret)) {
			key = raw
		}
		if err := provider.CheckStrength("credentials.webhook_signing_secret", string(secret), key); err != nil {
			return err
		}
	}
	return nil
}

// standardKeys returns the keys that a secret can mean in Standard Webhooks, the signing key first.
func standardKeys(secret string) ([][]byte, error) {
	key, err := standardwebhooks.ParseSecret(secret)
	if standardwebhooks.HasPrefix(secret) {
		return [][]byte{key}, err
	}
	if err == nil && len(key) >= specifiedKey {
		return [][]byte{[]byte(secret), key}, nil
	}
	return [][]byte{[]byte(secret)}, nil
}

// Verify decides by the strongest format whose headers the request has: it never falls back to a
// weaker one, nor when the options do not allow the format. Otherwise an old request could be
// replayed with an added weaker signature.
func (v verifier) Verify(h http.Header, body []byte, now time.Time) (provider.Proof, error) {
	if len(v.secrets) == 0 {
		return provider.Proof{}, provider.ErrNoSecret
	}
	format, set := strongest(h)
	switch {
	case format == "":
		return provider.Proof{}, fmt.Errorf("%w: no header of %s", provider.ErrMissingSignature, strings.Join(v.formats, ", "))
	case !slices.Contains(v.formats, format):
		return provider.Proof{}, notAccepted(format)
	case format == FormatStandardWebhooks:
		id, position, err := standardwebhooks.Verify(v.keys, set, h, body, now)
		return proof(format, id, position, err)
	case format == FormatPlugin:
		position, err := v.verifyPlugin(strings.TrimSpace(h.Get(pluginHeader)), body, now)
		return proof(format, "", position, err)
	default:
		position, err := v.verifyHex(strings.TrimSpace(h.Get(signatureHeader)), body)
		return proof(format, "", position, err)
	}
}

// strongest returns the strongest format of which the request has a header.
func strongest(h http.Header) (format string, set standardwebhooks.Set) {
	for _, set := range [...]standardwebhooks.Set{standardwebhooks.Standard, standardwebhooks.Svix} {
		if set.In(h) {
			return FormatStandardWebhooks, set
		}
	}
	switch {
	case len(h[pluginHeader]) > 0:
		return FormatPlugin, ""
	case len(h[signatureHeader]) > 0:
		return FormatSignature, ""
	}
	return "", ""
}

func notAccepted(format string) error {
	if format == FormatSignature {
		return fmt.Errorf("%w: %s carries neither a time nor an id, so a recorded request could be sent again. Sign with "+
			"webhook-id, webhook-timestamp and webhook-signature, or accept the risk by options.signature_formats with %s",
			provider.ErrFormat, signatureHeader, FormatSignature)
	}
	return fmt.Errorf("%w: the request carries headers of %s, which options.signature_formats leaves out; "+
		"a weaker signature beside them does not count", provider.ErrFormat, format)
}

func proof(method, id, position string, err error) (provider.Proof, error) {
	if err != nil {
		return provider.Proof{}, err
	}
	return provider.Proof{MessageID: id, Secret: position, Method: method}, nil
}

func (v verifier) verifyHex(signature string, body []byte) (position string, err error) {
	got, err := hex.DecodeString(signature)
	if err != nil || len(got) != sha256.Size {
		return "", fmt.Errorf("%w: it must be %d hexadecimal digits", provider.ErrMalformed, 2*sha256.Size)
	}
	for i, secret := range v.secrets {
		if hmac.Equal(got, sum(secret, body)) {
			return strconv.Itoa(i + 1), nil
		}
	}
	return "", provider.ErrNoMatch
}

// verifyPlugin also checks the age of the time in the body: the plugin signs only the body, so its
// id and time headers prove nothing.
func (v verifier) verifyPlugin(signature string, body []byte, now time.Time) (position string, err error) {
	digits, found := strings.CutPrefix(signature, pluginPrefix)
	if !found {
		return "", fmt.Errorf("%w: %s must begin with %s", provider.ErrMalformed, pluginHeader, pluginPrefix)
	}
	if position, err = v.verifyHex(digits, body); err != nil {
		return "", err
	}
	doc, err := payload.Parse(body)
	if err != nil || !doc.IsObject() {
		return "", fmt.Errorf("%w: the body, which should hold the time of signing, is no JSON object", provider.ErrMalformed)
	}
	at, ok := payload.ParseTime(doc.Member("timestamp"))
	switch {
	case !ok:
		return "", fmt.Errorf("%w: the body holds no timestamp", provider.ErrMalformed)
	case now.Sub(at.Time) > standardwebhooks.Tolerance:
		return "", fmt.Errorf("%w: more than %s", provider.ErrTooOld, standardwebhooks.Tolerance)
	case at.Sub(now) > standardwebhooks.Tolerance:
		return "", fmt.Errorf("%w: by more than %s", provider.ErrTooNew, standardwebhooks.Tolerance)
	}
	return position, nil
}

func sum(secret, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return mac.Sum(nil)
}

// ValidBody accepts an object; it also accepts an array, which no format uses and which becomes a
// visible failed event.
func (verifier) ValidBody(body []byte) error { return payload.CheckBody(body) }

// Redact also removes what resets a password or opens an API: the rows of Better Auth's tables
// verification, apikey and deviceCode, in case a customer sends them; and links that a customer adds to an
// invitation.
func (v verifier) Redact(body []byte) (stored []byte, excluded []string) {
	return v.exclude.Remove(redact(body))
}

// deviceCode is the name of Better Auth's table of devices that ask to be let in, and of its column.
var deviceCode = regexp.MustCompile(`(?i)device[_-]?code`)

func redact(body []byte) []byte {
	var secrets []string
	if deviceCode.Match(body) { // otherwise a user_code is the customer's own
		secrets = append(secrets, "usercode")
	}
	doc, err := payload.Parse(body)
	if err != nil || !doc.IsObject() {
		return payload.Redact(body, secrets...)
	}
	for _, key := range []string{"event", "type"} {
		switch kind, _, _ := strings.Cut(strings.ToLower(doc.Member(key).Plain()), "."); kind {
		case "verification":
			secrets = append(secrets, "value", "identifier")
		case "apikey", "api_key", "api-key":
			secrets = append(secrets, "key")
		case "invitation":
			secrets = append(secrets, invitations().Secrets...)
		}
	}
	return payload.Redact(body, secrets...)
}
