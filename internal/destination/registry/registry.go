// Package registry knows all kinds of destination. A new one is a package beside this one and a
// line in All; package destinationtest then tells whether it keeps the promises.
package registry

import (
	"fmt"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/http"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/destination/webhook"
)

// All returns the kinds.
func All() []destination.Kind {
	return []destination.Kind{hubspot.Kind{}, webhook.Kind{}, http.Kind{}}
}

// Names lists the names of the kinds.
func Names() []string {
	all := All()
	names := make([]string, len(all))
	for i, kind := range all {
		names[i] = kind.Name()
	}
	return names
}

// Lookup returns a kind by its name. The error is a *destination.InvalidError that lists the names there are.
func Lookup(name string) (destination.Kind, error) {
	for _, kind := range All() {
		if kind.Name() == strings.ToLower(strings.TrimSpace(name)) {
			return kind, nil
		}
	}
	return nil, &destination.InvalidError{Field: "kind", Detail: fmt.Sprintf("there is no kind of destination %.40q: take one of %s", name, strings.Join(Names(), ", "))}
}
