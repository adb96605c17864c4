// Package filter decides which changes a destination takes: by event type, by changed fields, by a condition.
package filter

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// maxFields limits the values compared per change.
const maxFields = 100

// columns returns the columns that a field may start with: those of the records that the event types are about.
func columns(eventTypes []string) []string {
	var all []string
	for _, d := range record.Types() {
		if len(eventTypes) > 0 && !slices.ContainsFunc(eventTypes, func(e string) bool { return strings.HasPrefix(e, string(d.Type)+".") }) {
			continue
		}
		for _, column := range d.Row() {
			if !slices.Contains(all, column) {
				all = append(all, column)
			}
		}
	}
	return all
}

// Selection is a compiled filter. It is safe for concurrent use.
type Selection struct {
	eventTypes []string
	fields     []field
	condition  *jq.Expression
}

// field is a value of a record to compare.
type field struct {
	name string
	path []string
	expr *jq.Expression // instead of path
}

// Compile compiles a filter. No event types means all, no fields means all fields. A field is a dotted path,
// such as email or raw.app_metadata.plan; one that starts with a dot is a jq expression over the record, for
// names that contain dots. The condition runs on destination.Input. It returns a fault.Invalid.
func Compile(eventTypes, fields []string, condition *string) (*Selection, error) {
	expanded, err := destination.ExpandEventTypes(eventTypes)
	if err != nil {
		return nil, err
	}
	s := &Selection{eventTypes: expanded}
	if len(fields) > maxFields {
		return nil, invalid("fields has %d entries: at most %d are compared; leave it out for all, or use a condition", len(fields), maxFields)
	}
	for _, name := range fields {
		f, err := compileField(name, expanded)
		if err != nil {
			return nil, err
		}
		s.fields = append(s.fields, f)
	}
	if condition != nil {
		compiled, err := jq.Compile("condition", *condition)
		if err != nil {
			return nil, invalid("%s", err)
		}
		s.condition = compiled
	}
	return s, nil
}

func invalid(format string, args ...any) error {
	return fault.Newf(fault.Invalid, format, args...)
}

func compileField(name string, eventTypes []string) (field, error) {
	if strings.HasPrefix(name, ".") {
		expr, err := jq.Compile(fmt.Sprintf("the field %.60s", name), name)
		if err != nil {
			return field{}, invalid("%s", err)
		}
		return field{name: name, expr: expr}, nil
	}
	path := strings.Split(name, ".")
	if slices.Contains(path, "") {
		return field{}, invalid("fields has %.60q: a field is a path such as email or raw.app_metadata.plan", name)
	}
	if known := columns(eventTypes); !slices.Contains(known, path[0]) {
		return field{}, invalid("fields has %.60q, which begins with no column of its event types: there is %s; what only the provider has is in raw, as in raw.app_metadata.plan",
			name, strings.Join(known, ", "))
	}
	return field{name: name, path: path}, nil
}

// Wants reports whether the filter accepts a change, and why not. Changes that delete or restore a record pass
// the fields test. It returns a fault.Invalid if the condition, or a field expression, fails on
// this change.
func (s *Selection) Wants(m destination.Message) (wanted bool, why string, err error) {
	if len(s.eventTypes) > 0 && !slices.Contains(s.eventTypes, m.EventType) {
		return false, fmt.Sprintf("its event type is %s, and the destination wants %s", m.EventType, strings.Join(s.eventTypes, ", ")), nil
	}
	fieldsMatter := len(s.fields) > 0 && m.Kind() != record.Deleted && m.Kind() != record.Restored
	if !fieldsMatter && s.condition == nil {
		return true, "", nil
	}
	input, err := destination.Input(m)
	if err != nil {
		return false, "", err
	}
	if fieldsMatter {
		changed, err := s.changed(input["before"], input[string(m.RecordType)])
		if err != nil {
			return false, "", err
		}
		if !changed {
			return false, "none of the fields that matter changed: " + s.names(), nil
		}
	}
	if s.condition == nil {
		return true, "", nil
	}
	holds, err := s.condition.True(context.Background(), jq.Of(input))
	if err != nil {
		return false, "", destination.ExpressionError(err, err.Error())
	}
	if !holds {
		return false, "its condition is not true of this change", nil
	}
	return true, "", nil
}

func (s *Selection) names() string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// changed reports whether a field differs. For a new record, every earlier value is null; so is that of a column
// that its type does not have.
func (s *Selection) changed(before, row any) (bool, error) {
	for _, f := range s.fields {
		old, err := f.of(before)
		if err != nil {
			return false, err
		}
		now, err := f.of(row)
		if err != nil {
			return false, err
		}
		if gojq.Compare(old, now) != 0 {
			return true, nil
		}
	}
	return false, nil
}

// of returns the value in a row, null if missing.
func (f field) of(row any) (any, error) {
	if row == nil {
		return nil, nil
	}
	if f.expr != nil {
		all, err := f.expr.All(context.Background(), jq.Of(row))
		if err != nil {
			return nil, destination.ExpressionError(err, err.Error())
		}
		if len(all) == 1 {
			return all[0], nil
		}
		return all, nil
	}
	value := row
	for _, key := range f.path {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			value = nil
			if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(v) {
				value = v[i]
			}
		default:
			return nil, nil
		}
	}
	return value, nil
}
