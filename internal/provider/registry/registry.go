// Package registry finds providers by their names. To add one, create a package beside this one and add it
// to All; package providertest then checks that it meets the contract. Those of package custom need none.
package registry

import (
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/workos"
)

// All returns the providers with a package of their own, in the order of provider.Names.
func All() []provider.Provider {
	return []provider.Provider{auth0.New(), clerk.New(), betterauth.New()}
}

// Lookup returns a provider by its name, in either spelling (better_auth, better-auth). The error
// lists the names. Providers with a definition are new ones on each call: an integration keeps its own.
func Lookup(name string) (provider.Provider, error) {
	canonical, err := provider.ParseName(name)
	if err != nil {
		return nil, err
	}
	for _, p := range All() {
		if p.Name() == canonical {
			return p, nil
		}
	}
	if canonical == workos.Name {
		return workos.New(), nil // a preset that can be read, too
	}
	return custom.New(canonical), nil
}
