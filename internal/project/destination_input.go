package project

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
)

// Bounds of what is given for a destination. They keep rows and sealed texts small.
const (
	maxDestinations = 50 // of a project
	maxFields       = 50
	maxFieldName    = 200     // bytes
	maxCondition    = 4 << 10 // bytes
	maxOptions      = 32 << 10
	maxSecrets      = 20
	maxSecret       = 8 << 10 // bytes of one
)

// DestinationTypes knows the types of destinations and checks what a person
// gives. Its errors are fault.Invalid, for a person.
type DestinationTypes interface {
	// Lookup finds a type by its name.
	Lookup(name string) (destination.Type, error)
	// Check says whether changes can be selected like that, and whether the
	// configuration makes a destination of the type.
	Check(typ destination.Type, c destination.Config, eventTypes, fields []string, condition *string) error
}

// DestinationInput is what a person gives for a destination; what is nil is not given.
type DestinationInput struct {
	Name               *string
	EventTypes, Fields *[]string // empty: those of users; all fields
	Condition          *string   // empty: none
	Holdback           *string   // such as 24h; empty: none
	Options            json.RawMessage
	Secrets            map[string]*string // nil removes
}

// applyInput puts what was given in place and checks the whole. For a new
// destination the secret that its type makes is made where it was not given, and comes back.
func (s *Store) applyInput(row *destinationRow, secrets *destination.Secrets, in DestinationInput) (*MadeSecret, error) {
	if s.destinationTypes == nil {
		return nil, errNoTypes
	}
	typ, err := s.destinationTypes.Lookup(row.Type)
	if err != nil {
		return nil, err
	}
	row.Type = typ.Name() // as it is spelled in the table
	if in.Name != nil {
		row.Name = *in.Name
	}
	if err := checkName("destination", row.Name); err != nil {
		return nil, err
	}
	if err := selectInput(row, in); err != nil {
		return nil, err
	}
	before := row.Options
	if row.Options, err = mergeOptions(before, in.Options); err != nil {
		return nil, err
	}
	if err := mustKnowSecrets(typ, before, row.Options, secrets.Values, in.Secrets); err != nil {
		return nil, err
	}
	if err := mergeSecrets(typ, secrets, in.Secrets); err != nil {
		return nil, err
	}
	s.dropExpired(secrets)
	var fresh *MadeSecret
	if row.CreatedAt.IsZero() {
		fresh = makeSecret(typ, secrets)
	}
	if err := s.destinationTypes.Check(typ, row.config(*secrets), row.EventTypes, row.Fields, row.Condition); err != nil {
		return nil, err
	}
	return fresh, nil
}

func selectInput(row *destinationRow, in DestinationInput) error {
	if in.EventTypes != nil {
		row.EventTypes = slices.Compact(slices.Sorted(slices.Values(*in.EventTypes)))
	}
	if len(row.EventTypes) == 0 {
		row.EventTypes = destination.DefaultEventTypes()
	}
	if in.Fields != nil {
		row.Fields = slices.Compact(slices.Sorted(slices.Values(*in.Fields)))
	}
	if row.Fields == nil {
		row.Fields = []string{}
	}
	if len(row.Fields) > maxFields {
		return invalid("fields are %d: give at most %d, or none to be told of every change", len(row.Fields), maxFields)
	}
	for _, field := range row.Fields {
		if len(field) > maxFieldName {
			return invalid("fields has %.40q…, of %d bytes: a field has at most %d", field, len(field), maxFieldName)
		}
	}
	if in.Condition != nil {
		row.Condition = in.Condition
		if strings.TrimSpace(*in.Condition) == "" {
			row.Condition = nil
		}
	}
	if row.Condition != nil && len(*row.Condition) > maxCondition {
		return invalid("condition has %d bytes: it takes at most %d", len(*row.Condition), maxCondition)
	}
	if in.Holdback != nil {
		var err error
		if row.Holdback, err = destination.ParseHoldback(*in.Holdback); err != nil {
			return err
		}
	}
	return nil
}

// mergeOptions gives the stored options with the given members in place; a
// member that is null goes, and so do all of them if null is given for the whole.
func mergeOptions(stored, given json.RawMessage) (json.RawMessage, error) {
	given = bytes.TrimSpace(given)
	switch {
	case len(given) == 0:
		return stored, nil
	case bytes.Equal(given, []byte("null")):
		return json.RawMessage("{}"), nil
	}
	var members, merged map[string]json.RawMessage
	if json.Unmarshal(given, &members) != nil {
		return nil, invalid("options must be an object")
	}
	if err := json.Unmarshal(stored, &merged); err != nil {
		return nil, fmt.Errorf("read the stored options: %w", err)
	}
	maps.Copy(merged, members)
	maps.DeleteFunc(merged, func(_ string, value json.RawMessage) bool { return bytes.Equal(value, []byte("null")) })
	text, err := json.Marshal(merged)
	if err != nil {
		return nil, fmt.Errorf("write options: %w", err)
	}
	if len(text) > maxOptions {
		return nil, invalid("options have %d bytes: they take at most %d", len(text), maxOptions)
	}
	return text, nil
}
