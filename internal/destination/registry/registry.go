// Package registry lists all destination types. To add one, add a package beside this one and a line in All;
// package destinationtest is its conformance suite.
package registry

import (
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/fault"
)

// All returns all types.
func All() []destination.Type {
	return []destination.Type{hubspot.Type{}, webhook.Type{}, http.Type{}}
}

// Names returns the names of the types.
func Names() []string {
	all := All()
	names := make([]string, len(all))
	for i, typ := range all {
		names[i] = typ.Name()
	}
	return names
}

// Lookup returns a type by name. It returns a fault.Invalid that lists the known names.
func Lookup(name string) (destination.Type, error) {
	for _, typ := range All() {
		if typ.Name() == strings.ToLower(strings.TrimSpace(name)) {
			return typ, nil
		}
	}
	return nil, fault.At("type", "unknown destination type %.40q: use one of %s", name, strings.Join(Names(), ", "))
}
