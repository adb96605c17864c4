package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/nearest"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
)

// family is event types with the same beginning.
func family(name string, verbs ...string) []string {
	types := make([]string, len(verbs))
	for i, verb := range verbs {
		types[i] = name + "." + verb
	}
	return types
}

// knownTypes are the event types that a provider sends, whether the mirror takes them or not.
func knownTypes(providerName string) []string {
	name, err := provider.ParseName(providerName)
	if err != nil {
		return nil
	}
	users := family("user", "created", "updated", "deleted")
	switch {
	case strings.HasPrefix(name, provider.CustomPrefix):
		return nil // its definition says them
	case slices.Contains(provider.Presets(), name):
		return custom.PresetTypes(name)
	}
	switch name {
	case provider.Auth0:
		return slices.Concat(users, family("organization", "created", "updated", "deleted"),
			family("organization.member", "added", "deleted"), family("organization.member.role", "assigned", "deleted"),
			family("organization.connection", "added", "updated", "removed"), family("organization.group.role", "assigned", "deleted"),
			family("group", "created", "updated", "deleted"), family("group.member", "added", "deleted"),
			family("group.role", "assigned", "deleted"), family("connection", "created", "updated", "deleted"))
	case provider.Clerk:
		return slices.Concat(users, family("session", "created", "pending", "ended", "removed", "revoked"),
			family("organization", "created", "updated", "deleted"), family("organizationMembership", "created", "updated", "deleted"),
			family("organizationInvitation", "created", "accepted", "revoked"), family("organizationDomain", "created", "updated", "deleted"),
			family("invitation", "created", "accepted", "revoked"), family("role", "created", "updated", "deleted"),
			family("permission", "created", "updated", "deleted"), family("email", "created"), family("sms", "created"),
			family("waitlistEntry", "created", "updated"))
	default:
		return slices.Concat(users, family("session", "created", "updated", "deleted"), family("organization", "created", "updated", "deleted"),
			family("member", "created", "updated", "deleted"), family("invitation", "created", "updated", "deleted"),
			family("account", "created", "updated", "deleted"))
	}
}

// logType is the type of an entry of an Auth0 log stream.
var logType = regexp.MustCompile(`^log\.[a-z][a-z0-9_]*$`)

// checkType refuses an event type that the provider does not send: it is most likely a slip.
func checkType(providerName, eventType string) error {
	name, err := provider.ParseName(providerName)
	if err != nil {
		return usageError{err}
	}
	known := knownTypes(name)
	if known == nil {
		return nil
	}
	if slices.Contains(known, eventType) || name == provider.Auth0 && logType.MatchString(eventType) {
		return nil
	}
	if near := nearest.Word(eventType, known); near != "" {
		return usagef("%s sends no event of type %q: did you mean %s? (--any-type sends it anyway)", provider.Title(name), eventType, near)
	}
	return usagef("%s sends no event of type %q: take one of %s, or --any-type", provider.Title(name), eventType, strings.Join(known[:3], ", "))
}
