package app

import (
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/registry"
)

// destinationTypes checks destinations as the deliveries will make them.
type destinationTypes struct{ checkURL func(url string) error }

// Lookup finds a type by its name.
func (destinationTypes) Lookup(name string) (destination.Type, error) { return registry.Lookup(name) }

// Check says what is wrong with a destination before it is stored.
func (k destinationTypes) Check(
	typ destination.Type, c destination.Config, eventTypes, fields []string, condition *string,
) error {
	if _, err := filter.Compile(eventTypes, fields, condition); err != nil {
		return err
	}
	d, err := typ.New(c, destination.Deps{CheckURL: k.checkURL})
	if err != nil {
		return err
	}
	capabilities := d.Capabilities()
	return capabilities.CheckEventTypes(typ.Name(), eventTypes)
}
