package destination

import (
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// Event types of users; EventTypes returns those of all records.
const (
	UserCreated  = "user.created"
	UserUpdated  = "user.updated"
	UserDeleted  = "user.deleted"
	UserRestored = "user.restored"
	// UserErased is sent to every destination, whatever its event types are: it may hold what an earlier filter let
	// through.
	UserErased = "user.erased"
)

// anyKind stands for all kinds of change in event types; see AllOf.
const anyKind = "*"

// AllOf returns the form that stands for all event types of a record type, such as organization.*.
func AllOf(t record.Type) string { return EventType(t, anyKind) }

// EventTypesHint says to people what an event type is.
const EventTypesHint = "an event type is user, organization, membership, invitation or session, a dot, and " +
	"created, updated, deleted, restored or * for all of these, such as user.updated or organization.*"

// EventType returns the event type of a kind of change of records of a type.
func EventType(t record.Type, kind string) string { return string(t) + "." + kind }

// SplitEventType is the reverse of EventType.
func SplitEventType(eventType string) (t record.Type, kind string) {
	name, kind, _ := strings.Cut(eventType, ".")
	return record.Type(name), kind
}

// EventTypesOf returns the event types of records of a type.
func EventTypesOf(t record.Type) []string {
	kinds := record.Kinds()
	for i, kind := range kinds {
		kinds[i] = EventType(t, kind)
	}
	return kinds
}

// EventTypes returns all event types.
func EventTypes() []string {
	var all []string
	for _, name := range record.Names() {
		all = append(all, EventTypesOf(record.Type(name))...)
	}
	return all
}

// DefaultEventTypes returns those that a destination receives if none are given: what other records do is of no use
// to most, and may be much.
func DefaultEventTypes() []string { return EventTypesOf(record.User) }

// ExpandEventTypes resolves forms such as organization.* into the event types they stand for. It returns a
// fault.Invalid for what is neither.
func ExpandEventTypes(given []string) ([]string, error) {
	known := EventTypes()
	expanded := make([]string, 0, len(given))
	for _, eventType := range given {
		t, kind := SplitEventType(eventType)
		switch {
		case kind == anyKind && slices.Contains(record.Names(), string(t)):
			expanded = append(expanded, EventTypesOf(t)...)
		case slices.Contains(known, eventType):
			expanded = append(expanded, eventType)
		default:
			return nil, fault.Newf(fault.Invalid, "event_types has %.40q: %s", eventType, EventTypesHint)
		}
	}
	slices.Sort(expanded)
	return slices.Compact(expanded), nil
}

// Takes reports whether a destination takes changes of records of a type.
func (c *Capabilities) Takes(t record.Type) bool {
	return c.RecordTypes == nil || slices.Contains(c.RecordTypes, t)
}

// CheckEventTypes returns a fault.Invalid if a destination of these capabilities is to receive changes that it does
// not take.
func (c *Capabilities) CheckEventTypes(typeName string, eventTypes []string) error {
	for _, eventType := range eventTypes {
		if t, _ := SplitEventType(eventType); !c.Takes(t) {
			names := make([]string, len(c.RecordTypes))
			for i, t := range c.RecordTypes {
				names[i] = AllOf(t)
			}
			return fault.At("event_types", "event_types has %.40q: a destination of type %s takes %s only with these options", eventType, typeName, strings.Join(names, ", "))
		}
	}
	return nil
}
