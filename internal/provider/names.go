package provider

import (
	"fmt"
	"slices"
	"strings"
)

// Names lists the providers' names as they stand in the database.
func Names() []string { return []string{Auth0, Clerk, BetterAuth} }

// ParseName returns the name as it stands in the database for a name as people
// and paths spell it: better-auth is better_auth. The error lists the names there are.
func ParseName(name string) (string, error) {
	canonical := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "-", "_")
	if slices.Contains(Names(), canonical) {
		return canonical, nil
	}
	return "", fmt.Errorf("there is no provider %.40q: take one of %s", name, strings.Join(Names(), ", "))
}

// Title is a provider's name as it stands in a sentence.
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
