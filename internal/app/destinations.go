package app

import (
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/registry"
)

// destinationKinds checks destinations as the outbox will make them.
type destinationKinds struct{ checkURL func(url string) error }

// Lookup finds a kind by its name.
func (destinationKinds) Lookup(kind string) (destination.Kind, error) { return registry.Lookup(kind) }

// Check says what is wrong with a destination before it is stored.
func (k destinationKinds) Check(
	kind destination.Kind, c destination.Config, kinds, fields []string, condition *string,
) error {
	if _, err := filter.Compile(kinds, fields, condition); err != nil {
		return err
	}
	_, err := kind.New(c, destination.Deps{CheckURL: k.checkURL})
	return err
}
