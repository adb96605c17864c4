// Package preview shows what authsync would store of a request, without storing anything: whether the request is verified, and
// each of its events column by column. It stands where the receiver and the decoder do, and calls what they call.
package preview

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Request is a request of a provider.
type Request struct {
	// Header are its headers; nil: the request is not verified.
	Header     http.Header
	Body       []byte
	ReceivedAt time.Time
}

// Result is what would become of a request.
type Result struct {
	// Verified is nil if it was not looked at, because there are no headers.
	Verified *Verification `json:"verified"`
	// BodyProblem is why the body can hold no event; empty if it can.
	BodyProblem string `json:"body_problem,omitempty"`
	// Excluded are the entries of option exclude whose fields are not stored.
	Excluded []string `json:"excluded,omitempty"`
	Events   []Event  `json:"events"`
}

// Verification tells whether the request proves that it is the provider's.
type Verification struct {
	OK        bool   `json:"ok"`
	Method    string `json:"method,omitempty"`
	MessageID string `json:"message_id,omitempty"`
	Secret    string `json:"secret,omitempty"` // the position of the secret that matched
	Problem   string `json:"problem,omitempty"`
}

// Event is one of the request's events.
type Event struct {
	EventID    string `json:"event_id"`
	EventType  string `json:"event_type"`
	Outcome    string `json:"outcome"` // what it would be: applied, ignored or failed
	Reason     string `json:"reason,omitempty"`
	RecordType string `json:"record_type,omitempty"`
	RecordID   string `json:"record_id,omitempty"`
	// EventTime is the clock of the columns; of a deletion without a profile, of the deletion.
	EventTime *time.Time `json:"event_time"`
	// TimeIsReceipt: the sender gave no time that can be used.
	TimeIsReceipt bool     `json:"time_is_receipt"`
	Deletes       bool     `json:"deletes"`
	Columns       []Column `json:"columns"`
}

// Column is what an event says of a column. Columns that it says nothing of stay as they are.
type Column struct {
	Name  string  `json:"name"`
	Value *string `json:"value"` // nil: it is cleared
}

// maxRaw is the maximum length of the column raw in a Result; it is shown to be looked at.
const maxRaw = 64 << 10

// Of tells what would become of a request. A verifier is needed for headers only. The error is one of
// provider.ContextDecoder.
func Of(ctx context.Context, kind provider.Provider, v provider.Verifier, o provider.Options, r Request) (Result, error) {
	result := Result{Events: []Event{}}
	d := provider.Message{ReceivedAt: r.ReceivedAt, Body: r.Body}
	if r.Header != nil {
		proof, err := v.Verify(r.Header, r.Body, r.ReceivedAt)
		result.Verified = &Verification{OK: err == nil, Method: proof.Method, MessageID: proof.MessageID, Secret: proof.Secret}
		d.MessageID = proof.MessageID
		if err != nil {
			result.Verified.Problem = err.Error()
		}
	}
	if err := v.ValidBody(r.Body); err != nil {
		result.BodyProblem = err.Error()
		if errors.Is(err, provider.ErrTooManyEvents) {
			return result, nil
		}
	}
	d.Body, result.Excluded = v.Redact(r.Body)
	events, err := provider.Decode(ctx, kind, d, o)
	if err != nil {
		return Result{}, err
	}
	for i := range events {
		result.Events = append(result.Events, shown(&events[i]))
	}
	return result, nil
}

func shown(e *provider.Event) Event {
	s := Event{
		EventID: e.ID, EventType: e.Type, Reason: e.Reason, TimeIsReceipt: e.AtIsReceipt || e.DeletedClockIsReceipt, Columns: []Column{},
		Outcome: [...]string{provider.Apply: "applied", provider.Ignore: "ignored", provider.Fail: "failed", provider.Refresh: "ignored"}[e.Verdict],
	}
	if ref := e.Record(); ref.ID != "" {
		s.RecordType, s.RecordID = string(ref.Type), ref.ID
	}
	if at := e.Time(); !at.IsZero() {
		s.EventTime = &at
	}
	definition, _ := record.Of(e.Record().Type)
	s.Deletes = e.Fields[record.DeletedAt] != nil
	for _, column := range definition.Columns {
		if value, says := e.Fields[column]; says && (column != record.DeletedAt || value != nil) {
			s.Columns = append(s.Columns, Column{definition.Shown(column), value})
		}
	}
	for _, role := range []Column{{"role_added", &e.RoleAdded}, {"role_removed", &e.RoleRemoved}} {
		if *role.Value != "" {
			s.Columns = append(s.Columns, role)
		}
	}
	if e.Raw != nil {
		s.Columns = append(s.Columns, Column{"raw", raw(e.Raw)})
	}
	return s
}

func raw(object json.RawMessage) *string {
	text := string(object)
	if len(text) > maxRaw {
		text = text[:maxRaw] + "…"
	}
	return &text
}
