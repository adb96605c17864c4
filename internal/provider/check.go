package provider

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxSecrets is the maximum number of valid signing secrets: each is tried on each request. A
// rotation needs two.
const maxSecrets = 16

// Check returns an error if the secrets of a field cannot be used: too many of them, an empty one,
// or one that no header can carry. No secrets at all are fine.
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

// Check returns an error if the secret of a field cannot be used. The error does not contain the
// secret.
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

// CheckOwner refuses credentials and options of another provider, which would silently be ignored.
// name is the current provider's.
func CheckOwner(name string, c Credentials, o Options) error {
	for _, field := range []struct {
		given  bool
		field  string
		owners []string
	}{
		{c.WebhookAuthorization != nil, "credentials.webhook_authorization", []string{Auth0}},
		{c.SecretKey != "", "credentials.secret_key", []string{Clerk, "workos"}},
		{c.Domain != "", "credentials.domain", []string{Auth0}},
		{c.ClientID != "", "credentials.client_id", []string{Auth0}},
		{c.ClientSecret != "", "credentials.client_secret", []string{Auth0}},
		{c.SessionToken != "", "credentials.session_token", []string{BetterAuth}},
		{c.DatabaseURL != "", "credentials.database_url", []string{BetterAuth}},
		{o.Source != nil, "options.source", []string{BetterAuth}},
	} {
		if field.given && !slices.Contains(field.owners, name) {
			titles := make([]string, len(field.owners))
			for i, owner := range field.owners {
				titles[i] = Title(owner)
			}
			return fmt.Errorf("%s is for %s only", field.field, strings.Join(titles, " and "))
		}
	}
	if o.Pull && name != Auth0 && name != BetterAuth {
		return fmt.Errorf("options.pull is for Auth0 and Better Auth: %s is not asked for its events", Title(name))
	}
	if o.Definition != nil && !strings.HasPrefix(name, CustomPrefix) {
		return fmt.Errorf("options.definition is for a provider of your own only, such as custom:%s", name)
	}
	return nil
}
