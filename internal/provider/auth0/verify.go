package auth0

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

const authorizationHeader = "Authorization"

// maxHeader is the maximum length of a header value that is considered.
const maxHeader = 8 << 10

// The methods of webhook_authorization, and of provider.Proof. verbatim is the method of a secret
// without a scheme.
const (
	methodBearer       = "bearer"
	methodBasic        = "basic"
	methodCustomHeader = "custom_header"
	methodVerbatim     = "authorization"
)

// accepted is a header value that proves a request. Values are compared as digests, so that timing
// reveals neither content nor length.
type accepted struct {
	header string
	digest [sha256.Size]byte
	method string
	secret string // its position, see provider.Proof
}

type verifier struct {
	accepted []accepted
	exclude  payload.Exclusion
}

// NewVerifier accepts each webhook_signing_secret as the whole value of Authorization and as a
// bearer token, and webhook_authorization as Auth0 sends it. The schemes Bearer and Basic are
// case-insensitive, and a secret may begin with one of them. If both credentials are set, both are
// accepted, and webhook_authorization counts as the last secret.
func (Provider) NewVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := provider.CheckOwner(provider.Auth0, c, o); err != nil {
		return nil, err
	}
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if err := c.WebhookSigningSecret.Check("credentials.webhook_signing_secret"); err != nil {
		return nil, err
	}
	if err := provider.CheckExclude(o, needed()); err != nil {
		return nil, err
	}
	v := verifier{exclude: payload.NewExclusion(o)}
	for i, secret := range c.WebhookSigningSecret {
		switch strings.ToLower(strings.TrimSpace(string(secret))) {
		case methodBearer, methodBasic: // an empty variable, for example; anyone could send that
			return nil, fmt.Errorf("secret %d of credentials.webhook_signing_secret is a scheme without a token behind it", i+1)
		}
		v.acceptSecret(strings.TrimSpace(string(secret)), i+1)
	}
	if c.WebhookAuthorization != nil {
		if err := checkAuthorization(c.WebhookAuthorization); err != nil {
			return nil, err
		}
		v.acceptAuthorization(c.WebhookAuthorization, len(c.WebhookSigningSecret)+1)
	}
	return v, nil
}

// CheckStrength checks every accepted secret.
func (Provider) CheckStrength(c provider.Credentials, _ provider.Options) error {
	for _, secret := range c.WebhookSigningSecret {
		if err := checkStrength("credentials.webhook_signing_secret", secret); err != nil {
			return err
		}
	}
	switch a := c.WebhookAuthorization; {
	case a == nil:
		return nil
	case a.Method == methodBearer:
		return checkStrength(field+".token", a.Token)
	case a.Method == methodBasic:
		return checkStrength(field+".password", a.Password)
	default:
		return checkStrength(field+".header_value", a.HeaderValue)
	}
}

// checkStrength checks what follows a scheme.
func checkStrength(field string, secret provider.Secret) error {
	_, bare := splitScheme(strings.TrimSpace(string(secret)))
	return provider.CheckStrength(field, bare, []byte(bare))
}

func (v *verifier) acceptSecret(secret string, position int) {
	scheme, _ := splitScheme(secret)
	method := scheme
	if scheme == "" {
		method = methodVerbatim
	}
	v.accept(authorizationHeader, secret, method, position)
	v.accept(authorizationHeader, "bearer "+secret, methodBearer, position)
}

func (v *verifier) acceptAuthorization(a *provider.Authorization, position int) {
	switch a.Method {
	case methodBearer:
		token := strings.TrimSpace(string(a.Token))
		v.accept(authorizationHeader, "bearer "+token, methodBearer, position)
		if scheme, _ := splitScheme(token); scheme == methodBearer {
			v.accept(authorizationHeader, token, methodBearer, position)
		}
	case methodBasic:
		v.accept(authorizationHeader, basicValue(a), methodBasic, position)
	case methodCustomHeader:
		v.accept(http.CanonicalHeaderKey(a.HeaderKey), strings.TrimSpace(string(a.HeaderValue)), methodCustomHeader, position)
	}
}

func (v *verifier) accept(header, value, method string, position int) {
	v.accepted = append(v.accepted, accepted{
		header: header,
		digest: digest(header, value),
		method: method,
		secret: strconv.Itoa(position),
	})
}

// Verify compares the header with all accepted values. It ignores the body and the time, because
// Auth0 proves neither.
func (v verifier) Verify(h http.Header, _ []byte, _ time.Time) (provider.Proof, error) {
	if len(v.accepted) == 0 {
		return provider.Proof{}, provider.ErrNoSecret
	}
	present, match := false, -1
	for i := range v.accepted {
		a := &v.accepted[i]
		value := strings.TrimSpace(h.Get(a.header))
		if value == "" {
			continue
		}
		if len(value) > maxHeader {
			return provider.Proof{}, fmt.Errorf("%w: header %s is longer than %d bytes", provider.ErrMalformed, a.header, maxHeader)
		}
		present = true
		got := digest(a.header, value)
		// Continue after a match, so that timing does not reveal which secret matched.
		if subtle.ConstantTimeCompare(got[:], a.digest[:]) == 1 && match < 0 {
			match = i
		}
	}
	switch {
	case !present:
		return provider.Proof{}, fmt.Errorf("%w: header %s is missing", provider.ErrMissingSignature, v.accepted[0].header)
	case match < 0:
		return provider.Proof{}, provider.ErrNoMatch
	}
	return provider.Proof{Secret: v.accepted[match].secret, Method: v.accepted[match].method}, nil
}

// ValidBody accepts an object, an array, or several objects, one per line. The error names the
// first invalid line.
func (verifier) ValidBody(body []byte) error {
	doc, err := payload.Parse(body)
	switch {
	case err == nil:
		return checkDocument(doc)
	case !isLines(body):
		return err
	}
	count := 0
	for n, line := range lines(body) {
		if _, problem := parseLine(n, line); problem != "" {
			return errors.New(problem)
		}
		count++
	}
	return payload.CheckCount(count, maxEvents)
}

func checkDocument(doc payload.Value) error {
	switch {
	case doc.IsArray():
		return payload.CheckCount(doc.Len(), maxEvents)
	case !doc.IsObject():
		return fmt.Errorf("the body is %s: it must be a JSON object", doc.Kind())
	}
	if env := readEnvelope(doc); env.isBatch() {
		return payload.CheckCount(env.logs.Len(), maxEvents)
	}
	return nil
}

// Redact removes the secrets in identities and Actions, see payload.Redact, and the links of
// invitations, which a log stream shows in the responses of the Management API.
func (v verifier) Redact(body []byte) (stored []byte, excluded []string) {
	return v.exclude.Remove(payload.Redact(body, invitations().Secrets...))
}

// digest normalizes the scheme of Authorization and hashes the value.
func digest(header, value string) [sha256.Size]byte {
	if header == authorizationHeader {
		if scheme, rest := splitScheme(value); scheme != "" {
			value = scheme + " " + rest
		}
	}
	return sha256.Sum256([]byte(value))
}

// splitScheme splits "Bearer x" or "Basic x"; the scheme is returned in lower case, or "" if it is
// neither.
func splitScheme(value string) (scheme, rest string) {
	first, rest, found := strings.Cut(value, " ")
	if first = strings.ToLower(first); found && (first == methodBearer || first == methodBasic) {
		return first, strings.TrimSpace(rest)
	}
	return "", value
}

func basicValue(a *provider.Authorization) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+string(a.Password)))
}
