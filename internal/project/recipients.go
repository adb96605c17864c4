package project

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/provider"
)

// Secrets that are stored are shown to nobody. So whoever has them sent to another host than
// before, where they could be read, has to know them: they are given anew, or removed.

// recipient is where credentials go; none where what is stored cannot be read.
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
	return invalid("%s leads to another host than before, to which the stored %s would be sent: give credentials.%s again together with it, or null to remove it",
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
	return invalid("options lead to another host than before (%s), to which the stored secrets would be sent: give secrets.%s again together with it, or null to remove it",
		fresh[0], strings.Join(unknown, " and secrets."))
}
