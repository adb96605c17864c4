package provider

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names lists the names of the providers with a package of their own, as used in the database. The others
// are those of Presets, and those that begin with CustomPrefix.
func Names() []string { return []string{Auth0, Clerk, BetterAuth} }

// CustomPrefix begins the name of a provider that the integration's options define.
const CustomPrefix = "custom:"

// Presets lists the names of the providers with a definition that is built in; see package custom.
func Presets() []string {
	return []string{"workos", "logto", "kinde", "stytch", "stack_auth", "propelauth", "supabase", "keycloak", "fusionauth"}
}

// customName is what follows CustomPrefix. The constraints of the tables with a provider's name repeat it.
var customName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// ParseName converts a provider's name as written by people and in paths, such as better-auth, to
// the one used in the database. The error lists the names.
func ParseName(name string) (string, error) {
	canonical := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
	if slices.Contains(Names(), canonical) || slices.Contains(Presets(), canonical) {
		return canonical, nil
	}
	if own, is := strings.CutPrefix(canonical, CustomPrefix); is {
		if customName.MatchString(own) {
			return canonical, nil
		}
		return "", fmt.Errorf("a provider of your own is custom: and a name of 1 to 40 letters, digits, - and _ that begins with a letter: %.60q is none", name)
	}
	return "", fmt.Errorf("there is no provider %.40q: take one of %s, or define your own, such as custom:acme",
		name, strings.Join(slices.Concat(Names(), Presets()), ", "))
}

// Kind is the name of a provider for metrics, which must have few values: those that customers define are one.
func Kind(name string) string {
	if strings.HasPrefix(name, CustomPrefix) {
		return "custom"
	}
	return name
}

// Title returns a provider's name for use in a sentence.
func Title(name string) string {
	switch name {
	case Auth0:
		return "Auth0"
	case Clerk:
		return "Clerk"
	case BetterAuth:
		return "Better Auth"
	case "workos":
		return "WorkOS"
	case "logto":
		return "Logto"
	case "kinde":
		return "Kinde"
	case "propelauth":
		return "PropelAuth"
	case "keycloak":
		return "Keycloak"
	case "fusionauth":
		return "FusionAuth"
	case "stytch":
		return "Stytch"
	case "stack_auth":
		return "Stack Auth"
	case "supabase":
		return "Supabase Auth"
	default:
		return strings.TrimPrefix(name, CustomPrefix)
	}
}
