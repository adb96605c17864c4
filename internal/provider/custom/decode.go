package custom

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// isTest is the reason of an event that the definition calls a test.
const isTest = "a test event of the provider: the endpoint works"

// decode maps a message. It returns the errors of jq.Expression.All.
func (c *Compiled) decode(ctx context.Context, d provider.Message, o provider.Options, doc payload.Value) ([]provider.Event, error) {
	found, _, err := c.program.One(ctx, jq.OfJSON(json.RawMessage(doc)), recordTypes(c.types))
	if err != nil {
		return nil, err
	}
	list, err := mappedEvents(found)
	switch {
	case err != nil:
		return payload.FailedMessage(d, err.Error()), nil
	case len(list) == 0:
		return []provider.Event{payload.EmptyMessage(d)}, nil
	case len(list) > maxEvents:
		return payload.FailedMessage(d, fmt.Sprintf("the body holds more than %d events: none was taken", maxEvents)), nil
	case len(list) > 1:
		d = payload.WithDigest(d)
	}
	events := make([]provider.Event, len(list))
	for i := range list {
		events[i] = c.event(d, o, &list[i], i, len(list) == 1)
	}
	return events, nil
}

func mappedEvents(found any) (list []mapped, err error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err = encoder.Encode(found); err == nil {
		err = json.Unmarshal(text.Bytes(), &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the mapping gives: %w", err)
	}
	return list, nil
}

// event makes an event of what the mapping found; single reports that the message has no other.
func (c *Compiled) event(d provider.Message, o provider.Options, m *mapped, ordinal int, single bool) provider.Event {
	e := payload.New(d, ordinal)
	if problem := setID(&e, d, m, single); problem != "" {
		return payload.Failed(d, e, problem)
	}
	at, problem := m.Time.value("event.time")
	if problem != "" {
		return payload.Failed(d, e, problem)
	}
	times := []payload.Value{timeIn(at, c.TimeUnit)}
	if m.Envelope != nil {
		times = append(times, payload.Value(m.Envelope.Time))
	}
	sentAt := payload.SetSentAt(&e, d, times...)
	typ, problem := m.Type.value("event.type")
	if problem == "" {
		problem = payload.SetType(&e, "event.type", typ)
	}
	if problem != "" {
		return payload.Failed(d, e, problem)
	}
	switch test, problem := m.Test.value("event.test"); {
	case problem != "":
		return payload.Failed(d, e, problem)
	case string(test) == "true":
		return payload.Ignored(e, isTest)
	}
	kind, mirrored := c.types[e.Type]
	if !mirrored {
		return c.unmirrored(e)
	}
	return c.change(d, o, e, m, kind, sentAt)
}

// setID takes the id that the definition maps, otherwise that of an envelope, otherwise the message's, if the event is its only
// one; otherwise the body's digest.
func setID(e *provider.Event, d provider.Message, m *mapped, single bool) (problem string) {
	id, problem := m.ID.value("event.id")
	switch {
	case problem != "":
		return problem
	case !id.IsAbsent() && !id.IsNull():
		return payload.SetID(e, d, "event.id", textOf(id))
	case m.Envelope != nil && payload.Value(m.Envelope.ID).IsText():
		return payload.SetID(e, d, "the envelope's id", payload.Value(m.Envelope.ID))
	case single:
		return payload.SetMessageID(e, d)
	default:
		return payload.SetID(e, d, "event.id", nil)
	}
}

// textOf is an id that is a whole number as a text.
func textOf(v payload.Value) payload.Value {
	if v.IsNumber() && !bytes.ContainsAny(v, ".eE") {
		return payload.Value(`"` + string(v) + `"`)
	}
	return v
}

// unmirrored ignores an event of a type that the definition does not map.
func (c *Compiled) unmirrored(e provider.Event) provider.Event {
	if reason, known := c.Ignore[e.Type]; known {
		return payload.Ignored(e, reason)
	}
	best := ""
	for name := range c.Ignore {
		if start, any := strings.CutSuffix(name, "*"); any && strings.HasPrefix(e.Type, start) && len(name) > len(best) {
			best = name
		}
	}
	if best != "" {
		return payload.Ignored(e, c.Ignore[best])
	}
	return payload.Unmirrored(e)
}

func (c *Compiled) change(
	d provider.Message, o provider.Options, e provider.Event, m *mapped, kind meaning, sentAt payload.Time,
) provider.Event {
	where := "records." + string(kind.record)
	object, problem := m.Object.value(where + "." + objectKey)
	if kind.deletes && (object.IsAbsent() || object.IsNull()) { // some carry none
		object, problem = payload.Value("{}"), ""
	}
	change := payload.Change{
		Mapping: payload.Mapping{Type: kind.record, Keys: slices.Clone(c.keys[kind.record]), Secrets: c.plainSecrets()},
		Path:    where, Object: object, Deletes: kind.deletes, SentAt: sentAt, NumericID: true,
	}
	values := new(payload.Values)
	for name, found := range m.Fields {
		value, trouble := found.value(name)
		switch {
		case trouble == "" && isTime(name):
			value = timeIn(value, c.TimeUnit)
		case trouble != "" && isKey(kind.record, name):
			problem = where + "." + trouble
		case trouble != "":
			change.Note(trouble + ": it is left as it was")
		}
		values[fieldNames()[name]] = value
	}
	if problem != "" {
		if kind.record != record.User {
			e.RecordType = kind.record
		}
		return payload.Failed(d, e, problem)
	}
	change.Given = values
	if !change.Read(d, &e, o) {
		return e
	}
	return change.Apply(d, e)
}

// isKey reports whether a record is not known without a field.
func isKey(t record.Type, name string) bool {
	fields, required := fieldsOf(t)
	return slices.Contains(fields[:required], name)
}

func (c *Compiled) plainSecrets() []string {
	names := make([]string, len(c.Secrets))
	for i, name := range c.Secrets {
		names[i] = plainName(name)
	}
	return names
}

// value is the one value that an expression gave, nil if it gave none.
func (o *one) value(name string) (v payload.Value, problem string) {
	switch {
	case o.failed != "":
		return nil, fmt.Sprintf("%s fails: %s", name, strings.ToValidUTF8(strings.ReplaceAll(o.failed, "\x00", "?"), "?"))
	case len(o.values) > 1:
		return nil, name + " gives several values: put them in [ ] to make one of them, or choose with first( )"
	case len(o.values) == 0:
		return nil, ""
	default:
		return payload.Value(o.values[0]), ""
	}
}

// timeUnits are the units of times that are numbers, in nanoseconds.
func timeUnits() map[string]time.Duration {
	return map[string]time.Duration{
		"seconds": time.Second, "milliseconds": time.Millisecond, "microseconds": time.Microsecond, "nanoseconds": time.Nanosecond,
	}
}

// timeIn writes a number in a unit as a time that is read without one. Without a unit the value is as it was.
func timeIn(v payload.Value, unit string) payload.Value {
	size, given := timeUnits()[unit]
	text := string(v)
	if v.IsText() {
		text = v.Plain()
	}
	n, err := strconv.ParseFloat(text, 64)
	if !given || err != nil {
		return v
	}
	whole, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && size == time.Second && whole > -6e10 && whole < 3e11: // the years 1 to 9999, roughly
		return payload.Value(`"` + payload.Format(time.Unix(whole, 0)) + `"`)
	case err == nil && size == time.Millisecond && whole > -6e13 && whole < 3e14: // a float64 would be off by a microsecond
		return payload.Value(`"` + payload.Format(time.UnixMilli(whole)) + `"`)
	}
	micros := n * float64(size) / float64(time.Microsecond)
	if micros < -6e16 || micros > 3e17 {
		return v
	}
	return payload.Value(`"` + payload.Format(time.UnixMicro(int64(micros))) + `"`)
}
