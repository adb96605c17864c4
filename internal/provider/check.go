package provider

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// maxSecrets is how many signing secrets may be valid at once: each is tried
// on each request. A rotation needs two.
const maxSecrets = 16

// Check reports why the secrets of a field cannot be used: too many of them, an
// empty one, or one that no header could carry. No secrets at all are fine.
func (s Secrets) Check(field string) error {
	if len(s) > maxSecrets {
		return fmt.Errorf("%s holds %d secrets: at most %d are taken", field, len(s), maxSecrets)
	}
	for i, secret := range s {
		name := field
		if len(s) > 1 {
			name = fmt.Sprintf("%s, secret %d", field, i+1)
		}
		if err := secret.Check(name); err != nil {
			return err
		}
	}
	return nil
}

func visible(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// Check reports why the secret of a field cannot be used. The error does not hold the secret.
func (s Secret) Check(field string) error {
	text := string(s)
	switch {
	case text == "":
		return fmt.Errorf("%s is empty: copy the secret that the provider shows", field)
	case !strings.ContainsFunc(text, visible):
		return fmt.Errorf("%s is white space only: copy the secret that the provider shows", field)
	case strings.ContainsFunc(strings.TrimSpace(text), unicode.IsControl):
		return fmt.Errorf("%s holds a control character, such as a line break: copy the secret again", field)
	}
	return nil
}

// OnlyAuth0 refuses webhook_authorization where another provider would silently
// not look at it.
func (c Credentials) OnlyAuth0() error {
	if c.WebhookAuthorization != nil {
		return errors.New("credentials.webhook_authorization is for Auth0 only: give webhook_signing_secret")
	}
	return nil
}
