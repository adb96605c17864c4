package custom

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// baseURLPlace begins a key_set_url that is at the provider's address, which differs from one customer to the next: it is option
// base_url of the integration. The issuer may begin with it as well.
const baseURLPlace = "{base_url}"

// maxAddress is the maximum length of the address of a key set.
const maxAddress = 2048

// checkKeySet checks what the schemes whose signatures are JWS take.
func (c *checker) checkKeySet() {
	s := &c.scheme
	if !s.usesTokens() {
		return
	}
	if s.isSymmetric() {
		c.checkSymmetric()
	} else {
		c.checkAsymmetric()
	}
	if s.BodyHash != "" && s.BodyClaim == "" {
		c.fail("signature.body_hash", "body_claim is missing: the claim with the hash")
	}
	if s.Scheme == schemeJWS && s.BodyClaim == "" && (s.Issuer != "" || s.Audience != "") {
		c.fail("signature", "issuer and audience are claims, and a detached JWS has none: give body_claim, or leave them out")
	}
	if rest := strings.TrimPrefix(s.Issuer, baseURLPlace); rest != s.Issuer && !s.needsBaseURL() || strings.Contains(rest, baseURLPlace) {
		c.fail("signature.issuer", "{base_url} can be at its beginning only, if it is at that of key_set_url as well")
	}
}

// checkSymmetric checks tokens that are signed with the secret.
func (c *checker) checkSymmetric() {
	s := &c.scheme
	if s.KeySetURL != "" {
		c.fail("signature.key_set_url", "HS256, HS384 and HS512 are signed with the secret: leave the key set out, or name algorithms with a public key")
	}
	for _, name := range s.Algorithms {
		if symmetricHash(name) == nil {
			c.fail("signature.algorithms", "%.20q beside an algorithm with a shared secret: a token must not choose between the two. Name only HS256, HS384 and HS512, or none of them", name)
		}
	}
}

func (c *checker) checkAsymmetric() {
	s := &c.scheme
	if s.SecretEncoding != "" {
		c.fail("signature.secret_encoding", "there is no secret: the keys are those of key_set_url")
	}
	rest, atBase := strings.CutPrefix(s.KeySetURL, baseURLPlace+"/")
	if !atBase && !strings.HasPrefix(s.KeySetURL, "https://") || strings.Contains(rest, baseURLPlace) || len(s.KeySetURL) > maxAddress {
		c.fail("signature.key_set_url", "this must be an https:// address: that of the provider's JSON Web Key Set, such as https://example.com/.well-known/jwks.json or {base_url}/.well-known/jwks.json")
	}
	if len(s.Algorithms) == 0 {
		c.fail("signature", "algorithms is missing: name those that the provider signs with, such as [RS256]")
	}
	for _, name := range s.Algorithms {
		if _, known := algorithms()[name]; !known {
			c.fail("signature.algorithms", "%.20q is not accepted with a key set: must be of %s", name, strings.Join(slices.Concat(algorithmNames(), symmetricNames()), ", "))
		}
	}
}

// at returns the scheme of an integration with its base URL in place. The error names option base_url.
func (s scheme) at(baseURL string) (scheme, error) {
	if !s.needsBaseURL() {
		if baseURL != "" {
			return scheme{}, errors.New("options.base_url is not used: the definition says what is signed, and nothing is read from the provider")
		}
		return s, nil
	}
	if strings.TrimSpace(baseURL) == "" {
		return scheme{}, errors.New("options.base_url is missing: the address of the provider, such as https://auth.example.com, where its public keys are")
	}
	base, err := url.Parse(strings.TrimSpace(baseURL))
	switch {
	case err != nil || base.Scheme != "https" || base.Hostname() == "" || base.Opaque != "":
		return scheme{}, errors.New("options.base_url is no https:// address: it looks like https://auth.example.com")
	case base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "":
		return scheme{}, errors.New("options.base_url holds a user name, a ? or a #: give the address without them")
	}
	start := strings.TrimRight(base.String(), "/")
	s.KeySetURL = start + strings.TrimPrefix(s.KeySetURL, baseURLPlace)
	if rest, found := strings.CutPrefix(s.Issuer, baseURLPlace); found {
		s.Issuer = start + rest
	}
	if len(s.KeySetURL) > maxAddress {
		return scheme{}, fmt.Errorf("options.base_url is longer than an address of %d bytes", maxAddress)
	}
	return s, nil
}
