package provider

import (
	"fmt"
	"slices"
	"strings"
)

// Names lists the providers' names as used in the database.
func Names() []string { return []string{Auth0, Clerk, BetterAuth} }

// ParseName converts a provider's name as written by people and in paths, such as better-auth, to
// the one used in the database. The error lists the names.
func ParseName(name string) (string, error) {
	canonical := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
	if slices.Contains(Names(), canonical) {
		return canonical, nil
	}
	return "", fmt.Errorf("there is no provider %.40q: take one of %s", name, strings.Join(Names(), ", "))
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
	default:
		return name
	}
}
