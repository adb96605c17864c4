package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/record"
)

const (
	// valueEvents is how many events of a record are read for their values, the newest.
	valueEvents = 20
	// maxValue is how much of a value is shown, in bytes.
	maxValue = 1 << 10
)

// getValues shows which event set each column, and the other values that the newest events have for it, which lost. They are
// read from the messages in the inbox, as they were decoded when they were applied; nothing is stored for this.
func (a *API) getValues(r *http.Request) (answer, error) {
	p, d, ref, err := a.record(r)
	if err != nil {
		return answer{}, err
	}
	h, err := a.config.Records.RecordHistory(r.Context(), p.ID, ref, 0, 1)
	if errors.Is(err, mirror.ErrNoRecord) {
		return answer{}, errNoRecord(p, d)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	events, next, err := a.config.Events.Events(r.Context(), inbox.Filter{ProjectID: p.ID, RecordType: string(d.Type), RecordID: ref.ID}, "", valueEvents)
	if err != nil {
		return answer{}, err
	}
	var row map[string]json.RawMessage
	if err := json.Unmarshal(h.Row, &row); err != nil {
		return answer{}, fmt.Errorf("read the row: %w", err)
	}
	document := wire.RecordValues{RecordType: string(d.Type), RecordID: ref.ID, EventsRead: len(events), HasMore: next != "", Columns: []wire.ColumnValues{}}
	at := map[string]int{}
	for _, s := range h.Sources {
		at[s.Column] = len(document.Columns)
		document.Columns = append(document.Columns, wire.ColumnValues{Source: wire.Source(s), Lost: []wire.LostValue{}})
	}
	reader := eventReader{API: a, projectID: p.ID, until: time.Now().Add(decodeTime), kinds: map[string]decoder{}}
	for _, e := range events {
		fields, err := reader.fieldsOf(r.Context(), e, ref)
		if err != nil {
			return answer{}, err
		}
		for column, value := range fields {
			i, known := at[d.Shown(column)]
			if !known || isShown(&document.Columns[i], row, e, value) {
				continue
			}
			document.Columns[i].Lost = append(document.Columns[i].Lost, wire.LostValue{Event: eventOf(e), Value: cutValue(value)})
		}
	}
	return answer{status: http.StatusOK, body: document}, nil
}

// decodeTime is how long the mappings of a record's events may take together. What has not been decoded by then is left out.
const decodeTime = 2 * time.Second

// eventReader decodes events of a project from their messages. It finds each provider once, so that a definition is compiled
// once, and is halted if it is too slow.
type eventReader struct {
	*API

	projectID uuid.UUID
	until     time.Time
	kinds     map[string]decoder
}

type decoder struct {
	kind    provider.Provider
	options provider.Options
}

// fieldsOf decodes the fields that an event has. There are none if its message has been pruned or cannot be decoded.
func (a *eventReader) fieldsOf(ctx context.Context, e inbox.Event, ref record.Ref) (provider.Fields, error) {
	message, err := a.config.Events.Body(ctx, e.InboxID)
	if errors.Is(err, inbox.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	by, err := a.decoderOf(ctx, message.Provider)
	if err != nil || by.kind == nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, a.until)
	defer cancel()
	for _, decoded := range by.decode(ctx, message.Message) {
		if decoded.Ordinal == e.Ordinal && decoded.Record() == ref {
			return decoded.Fields, nil
		}
	}
	return nil, nil
}

// decoderOf returns what decodes a provider's messages; its kind is nil if it is a newer authsync's.
func (a *eventReader) decoderOf(ctx context.Context, name string) (by decoder, err error) {
	by, known := a.kinds[name]
	if known {
		return by, nil
	}
	by.kind, err = registry.Lookup(name)
	if err == nil {
		integration, err := a.config.Store.FindIntegration(ctx, a.projectID, name)
		if err != nil && !errors.Is(err, project.ErrNoIntegration) {
			return by, err
		}
		by.options = integration.Options
	}
	a.kinds[name] = by
	return by, nil
}

// decode decodes a message; none of it if no time or worker is left, or if it crashes, which the job that applies it has
// reported.
func (d decoder) decode(ctx context.Context, message provider.Message) (events []provider.Event) {
	defer func() {
		if recover() != nil {
			events = nil
		}
	}()
	events, err := provider.Decode(ctx, d.kind, message, d.options)
	if err != nil {
		return nil
	}
	return events
}

// isShown reports whether an event's value is the one that a column shows, or was found in a newer event already.
func isShown(c *wire.ColumnValues, row map[string]json.RawMessage, e inbox.Event, value *string) bool {
	if c.EventID != nil && e.EventID != nil && *c.EventID == *e.EventID || equalsShown(row[c.Column], value) {
		return true
	}
	for _, lost := range c.Lost {
		if equalTexts(lost.Value, cutValue(value)) {
			return true
		}
	}
	return false
}

// equalsShown compares a value of a row with one of an event, which is a text.
func equalsShown(shown json.RawMessage, value *string) bool {
	if len(shown) == 0 || bytes.Equal(shown, []byte("null")) {
		return value == nil
	}
	if value == nil {
		return false
	}
	var text string
	if json.Unmarshal(shown, &text) != nil {
		return string(shown) == *value
	}
	if text == *value {
		return true
	}
	was, err := time.Parse(time.RFC3339Nano, *value)
	is, other := time.Parse(time.RFC3339Nano, text)
	return err == nil && other == nil && was.Equal(is)
}

func equalTexts(a, b *string) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

// cutValue is the beginning of a value.
func cutValue(value *string) *string {
	if value == nil || len(*value) <= maxValue {
		return value
	}
	cut := string(bytes.ToValidUTF8([]byte((*value)[:maxValue]), nil)) + "…"
	return &cut
}
