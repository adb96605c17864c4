package custom

import (
	"crypto/sha1" //nolint:gosec // of senders that offer nothing else; HMAC-SHA1 is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// The signature schemes.
const (
	schemeStandard    = "standard_webhooks" // webhook-id, webhook-timestamp, webhook-signature
	schemeSvix        = "svix"              // the same with svix-
	schemeHMAC        = "hmac"              // the header is an HMAC of the body, or of a time and the body
	schemeTimestamped = "timestamped_hmac"  // the header is t=TIME,v1=HMAC of "TIME.BODY"
	schemeHeader      = "header"            // the header is the secret
	schemeBearer      = "bearer"            // Authorization: Bearer SECRET
	schemeBasic       = "basic"             // Authorization: Basic, of which the secret is user:password
	schemeJWTBody     = "jwt_body"          // the body is a JSON Web Token, and its claims are the event
	schemeJWS         = "jws"               // the header is a JWS over the body, or over a hash of it
)

// headerName is a token of RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func schemes() []string {
	return []string{
		schemeStandard, schemeSvix, schemeHMAC, schemeTimestamped, schemeHeader, schemeBearer, schemeBasic, schemeJWTBody, schemeJWS,
	}
}

// scheme is a Signature that has been checked.
type scheme struct {
	Signature

	hash      func() hash.Hash
	tolerance time.Duration // 0: no time is checked
	pieces    []string      // of Signed: placeholders and what stands between them
}

// takes are the settings of a scheme beside scheme itself.
func takes(name string) []string {
	switch name {
	case schemeHMAC:
		return []string{
			"header", "prefix", "algorithm", "encoding", "secret_encoding", "signed", "time_header", "id_header", "time_unit", "tolerance",
		}
	case schemeTimestamped:
		return []string{"header", "algorithm", "encoding", "secret_encoding", "signed", "time_unit", "tolerance", "version"}
	case schemeHeader:
		return []string{"header", "prefix"}
	case schemeJWTBody:
		return []string{"key_set_url", "algorithms", "secret_encoding", "issuer", "audience", "tolerance"}
	case schemeJWS:
		return []string{
			"header", "prefix", "key_set_url", "algorithms", "secret_encoding", "issuer", "audience", "body_claim", "body_hash", "tolerance",
		}
	default:
		return nil
	}
}

// given are the settings that a definition has.
func (s *Signature) given() map[string]bool {
	given := map[string]bool{"algorithms": len(s.Algorithms) > 0}
	for name, value := range map[string]string{
		"header": s.Header, "prefix": s.Prefix, "algorithm": s.Algorithm, "encoding": s.Encoding, "secret_encoding": s.SecretEncoding,
		"signed": s.Signed, "time_header": s.TimeHeader, "id_header": s.IDHeader, "time_unit": s.TimeUnit, "tolerance": s.Tolerance,
		"version": s.Version, "key_set_url": s.KeySetURL, "issuer": s.Issuer, "audience": s.Audience,
		"body_claim": s.BodyClaim, "body_hash": s.BodyHash,
	} {
		given[name] = value != ""
	}
	return given
}

// usesKeySet reports whether requests are verified by public keys rather than by secrets.
func (s *Signature) usesKeySet() bool { return s.usesTokens() && !s.isSymmetric() }

// usesTokens reports whether requests are signed by a JWS.
func (s *Signature) usesTokens() bool { return s.Scheme == schemeJWTBody || s.Scheme == schemeJWS }

// isSymmetric reports whether tokens are signed with the secret. Algorithms of both kinds are refused, so that a token cannot
// choose between a public key and a secret.
func (s *Signature) isSymmetric() bool {
	return s.usesTokens() && slices.ContainsFunc(s.Algorithms, func(name string) bool { return symmetricHash(name) != nil })
}

// needsBaseURL reports whether the address of the key set is at an address that the integration has as option base_url.
func (s *Signature) needsBaseURL() bool { return strings.HasPrefix(s.KeySetURL, baseURLPlace) }

func (c *checker) checkSignature() {
	s := c.Signature
	if !slices.Contains(schemes(), s.Scheme) {
		at := "signature"
		if s.Scheme != "" {
			at = "signature.scheme"
		}
		c.fail(at, "scheme is %.40q: must be one of %s", s.Scheme, strings.Join(schemes(), ", "))
		return
	}
	allowed := takes(s.Scheme)
	for name, given := range s.given() {
		if given && !slices.Contains(allowed, name) {
			c.fail("signature."+name, "the scheme %s does not take %s", s.Scheme, name)
		}
	}
	if slices.Contains(allowed, "header") && s.Header == "" {
		c.fail("signature", "header is missing: give the name of the header with the signature")
	}
	for name, header := range map[string]string{"header": s.Header, "time_header": s.TimeHeader, "id_header": s.IDHeader} {
		if header != "" && (!headerName.MatchString(header) || len(header) > maxName) {
			c.fail("signature."+name, "this is no name of a header")
		}
	}
	if s.Scheme == schemeHeader && storedHeader(s.Header) {
		c.fail("signature.header", "no secret can be in header %s, which is stored with every message", http.CanonicalHeaderKey(s.Header))
	}
	c.scheme = scheme{Signature: s}
	c.checkHash()
	c.checkTime()
	c.checkSigned()
	c.checkKeySet()
	c.scheme.setDefaults()
}

// versionName is a key of a header such as t=1700000000,v1=5257a8….
var versionName = regexp.MustCompile(`^[A-Za-z0-9_]{1,32}$`)

// storedHeader reports whether the receiver stores a header even if it is told that any other may be the secret.
func storedHeader(name string) bool { return http.CanonicalHeaderKey(name) == "Content-Type" }

func (c *checker) oneOf(path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.fail(path, "%.40q is not known: must be one of %s", value, strings.Join(allowed, ", "))
	}
}

func (c *checker) checkHash() {
	if v := c.Signature.Version; v != "" && (!versionName.MatchString(v) || v == "t") {
		c.fail("signature.version", "%.40q must be letters and digits, such as v1, and not t, which is the time", v)
	}
	c.oneOf("signature.algorithm", c.Signature.Algorithm, "sha256", "sha512", "sha1")
	c.oneOf("signature.encoding", c.Signature.Encoding, "hex", "base64", "base64url")
	c.oneOf("signature.secret_encoding", c.Signature.SecretEncoding, "text", "hex", "base64")
	c.oneOf("signature.time_unit", c.Signature.TimeUnit, "seconds", "milliseconds")
	c.oneOf("signature.body_hash", c.Signature.BodyHash, "base64", "hex")
}

// Bounds of a tolerance.
const minTolerance, maxTolerance = time.Second, time.Hour

func (c *checker) checkTime() {
	if c.Signature.Tolerance == "" {
		return
	}
	d, err := time.ParseDuration(c.Signature.Tolerance)
	if err != nil || d < minTolerance || d > maxTolerance {
		c.fail("signature.tolerance", "%.40q must be a duration from 1s to 1h, such as 5m", c.Signature.Tolerance)
	}
	c.scheme.tolerance = d
}

// The placeholders of signed.
const bodyPlace, timePlace, idPlace = "{body}", "{time}", "{id}"

func (c *checker) checkSigned() {
	s := &c.scheme
	if s.Scheme != schemeHMAC && s.Scheme != schemeTimestamped {
		return
	}
	signed := s.Signed
	switch {
	case signed != "":
	case s.Scheme == schemeTimestamped:
		signed = timePlace + "." + bodyPlace
	default:
		signed = bodyPlace
	}
	s.pieces = pieces(signed)
	if strings.Count(signed, bodyPlace) != 1 || strings.Count(signed, timePlace) > 1 || strings.Count(signed, idPlace) > 1 || len(signed) > maxName {
		c.fail("signature.signed", "this must have {body} once, and {time} and {id} at most once, such as {time}.{body}")
		return
	}
	hasTime := strings.Contains(signed, timePlace)
	switch {
	case s.Scheme == schemeTimestamped && (!hasTime || strings.Contains(signed, idPlace)):
		c.fail("signature.signed", "this must have {time} and {body}: the header has no id")
	case s.Scheme == schemeHMAC && hasTime != (s.TimeHeader != ""):
		c.fail("signature", "{time} in signed and time_header belong together: give both or none. A time that is not signed proves nothing")
	case s.Scheme == schemeHMAC && strings.Contains(signed, idPlace) != (s.IDHeader != ""):
		c.fail("signature", "{id} in signed and id_header belong together: give both or none. An id that is not signed proves nothing")
	case strings.Contains(signed, idPlace) && len(s.between()) == 0:
		c.fail("signature.signed", "{id} needs a separator, such as a dot, so that it is clear where it ends")
	}
}

// pieces takes a template apart into placeholders and what stands between them.
func pieces(template string) (all []string) {
	for template != "" {
		at, found := len(template), ""
		for _, place := range []string{bodyPlace, timePlace, idPlace} {
			if i := strings.Index(template, place); i >= 0 && i < at {
				at, found = i, place
			}
		}
		if at > 0 {
			all = append(all, template[:at])
		}
		if found != "" {
			all = append(all, found)
		}
		template = template[at+len(found):]
	}
	return all
}

// between is what stands between the placeholders. An id with one of these characters is refused: otherwise two requests could
// have the same signed content.
func (s *scheme) between() string {
	var b strings.Builder
	for _, piece := range s.pieces {
		if piece != bodyPlace && piece != timePlace && piece != idPlace {
			b.WriteString(piece)
		}
	}
	return b.String()
}

func (s *scheme) setDefaults() {
	s.hash = sha256.New
	switch s.Algorithm {
	case "sha512":
		s.hash = sha512.New
	case "sha1":
		s.hash = sha1.New
	}
	hasTime := s.Scheme == schemeTimestamped || s.TimeHeader != ""
	if s.tolerance == 0 && hasTime {
		s.tolerance = standardwebhooks.Tolerance
	}
	if s.Version == "" {
		s.Version = "v1"
	}
	s.Header, s.TimeHeader, s.IDHeader = http.CanonicalHeaderKey(s.Header), http.CanonicalHeaderKey(s.TimeHeader), http.CanonicalHeaderKey(s.IDHeader)
	if s.Scheme == schemeBearer || s.Scheme == schemeBasic {
		s.Header = "Authorization"
	}
}

// decodeSignature decodes a signature as the scheme writes it.
func (s *scheme) decodeSignature(text string) ([]byte, error) {
	switch s.Encoding {
	case "base64":
		return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	case "base64url":
		return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	default:
		return hex.DecodeString(text)
	}
}

func (s *scheme) encodeSignature(sum []byte) string {
	switch s.Encoding {
	case "base64":
		return base64.StdEncoding.EncodeToString(sum)
	case "base64url":
		return base64.RawURLEncoding.EncodeToString(sum)
	default:
		return hex.EncodeToString(sum)
	}
}

var errNoHex = errors.New("it is not written in hexadecimal digits, as signature.secret_encoding says")

var errNoBase64 = errors.New("it is not base64, as signature.secret_encoding says")

// key decodes a secret. The error does not contain it.
func (s *scheme) key(secret string) ([]byte, error) {
	switch {
	case s.Scheme == schemeStandard || s.Scheme == schemeSvix:
		return standardwebhooks.ParseSecret(secret)
	case s.SecretEncoding == "hex":
		if key, err := hex.DecodeString(strings.TrimSpace(secret)); err == nil && len(key) > 0 {
			return key, nil
		}
		return nil, errNoHex
	case s.SecretEncoding == "base64":
		text := strings.TrimRight(strings.TrimSpace(secret), "=")
		if key, err := base64.RawStdEncoding.DecodeString(text); err == nil && len(key) > 0 {
			return key, nil
		}
		return nil, errNoBase64
	case strings.TrimSpace(secret) != secret:
		return nil, errors.New("it begins or ends with white space: give it exactly as the provider has it")
	case s.Scheme == schemeBasic && !strings.Contains(secret, ":"):
		return nil, errors.New("it must be user:password")
	default:
		return []byte(secret), nil
	}
}
