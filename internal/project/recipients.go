package project

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/provider"
)

// Stored secrets are never shown. Sending them to a new host would reveal them, so whoever changes
// the host must give them again or remove them.

// recipient returns where credentials are sent; none if the stored values cannot be read.
func recipient(kind provider.Provider, credentials map[string]json.RawMessage, options json.RawMessage) provider.Recipient {
	addresser, is := kind.(provider.Addresser)
	c, err := storedCredentials(credentials)
	o, optionsErr := storedOptions(options)
	if !is || err != nil || optionsErr != nil {
		return provider.Recipient{}
	}
	return addresser.SendsTo(c, o)
}

// mustKnow refuses to send stored credentials to a new host.
func mustKnow(before, after provider.Recipient, stored, given map[string]json.RawMessage) error {
	if after.Origin == "" || after.Origin == before.Origin {
		return nil
	}
	unknown := slices.DeleteFunc(slices.Clone(after.Credentials), func(name string) bool {
		_, isStored := stored[name]
		_, isGiven := given[name]
		return !isStored || isGiven
	})
	if len(unknown) == 0 {
		return nil
	}
	return invalid("%s leads to another host, to which the stored %s would be sent: set credentials.%s again in the same request, or null to remove it",
		after.Field, strings.Join(unknown, " and "), strings.Join(unknown, " and credentials."))
}

// mustKnowSecrets is mustKnow for a destination.
func mustKnowSecrets(typ destination.Type, before, after json.RawMessage, stored map[string]string, given map[string]*string) error {
	known := typ.SendsSecretsTo(before)
	fresh := slices.DeleteFunc(typ.SendsSecretsTo(after), func(origin string) bool { return slices.Contains(known, origin) })
	if len(fresh) == 0 {
		return nil
	}
	var unknown []string
	for name := range stored {
		if _, isGiven := given[name]; !isGiven {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return invalid("options lead to another host (%s), to which the stored secrets would be sent: set secrets.%s again in the same request, or null to remove it",
		fresh[0], strings.Join(unknown, " and secrets."))
}
