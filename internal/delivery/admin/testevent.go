package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// TestResult is a destination's response to a test event.
type TestResult struct {
	Delivered bool
	MessageID string
	Requests  []destination.Request // as they were sent, secrets masked; empty if none was made
	Status    *int                  // nil: there was no answer
	Response  string
	Reason    string // why it failed or was not sent
	Duration  time.Duration
}

// Test sends one test event to a destination, regardless of its state and filters, and returns the response. It creates no
// delivery and leaves cursor, breaker and state alone. It counts against the rate limit.
//
// It returns a fault.Invalid if the type does not support test events or the mapping fails on this one.
func (a *Admin) Test(ctx context.Context, projectID, destinationID uuid.UUID, eventType string) (TestResult, error) {
	message, err := destination.TestMessage(destinationID, projectID, eventType, a.config.Now())
	if err != nil {
		return TestResult{}, err
	}
	t, err := a.previewed(ctx, destinationID, record.Ref{Type: message.RecordType, ID: message.RecordID})
	if err != nil {
		return TestResult{}, err
	}
	to, err := a.config.Destinations.Get(ctx, destinationID, t.UpdatedAt)
	if err != nil {
		return TestResult{}, err
	}
	if why := to.Capabilities.NoTest; why != "" {
		return TestResult{}, fault.New(fault.Invalid, why)
	}
	wanted, err := to.Preview(ctx, message)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{MessageID: message.ID, Requests: []destination.Request{}}
	begun := time.Now()
	answer := to.Send(ctx, []destination.Message{message})[0]
	result.Duration = time.Since(begun)
	for i := range answer.Exchanges {
		result.Requests = append(result.Requests, sentRequest(&answer.Exchanges[i]))
	}
	result.Delivered = answer.Outcome == destination.Delivered && len(wanted) > 0
	result.Response, result.Reason = answer.Response, answer.Reason
	if answer.Status != 0 {
		result.Status = &answer.Status
	}
	a.config.Log.InfoContext(ctx, "destination_tested", slog.String("destination_id", destinationID.String()),
		slog.String("type", to.TypeName), slog.Bool("delivered", result.Delivered), slog.Int("status", answer.Status))
	return result, nil
}

// sentRequest is a request as it was sent. Its note says what is not there.
func sentRequest(e *destination.Exchange) destination.Request {
	r := destination.Request{Method: e.Method, URL: e.URL, Header: e.Header}
	var notes []string
	if e.Note != "" {
		notes = append(notes, e.Note)
	}
	if !e.Sent {
		notes = append(notes, "not sent: there was no connection")
	}
	if e.BodyCut {
		notes = append(notes, fmt.Sprintf("the body is cut: it had %d bytes", e.BodyBytes))
	}
	r.Note = strings.Join(notes, "; ")
	switch {
	case e.Body == "":
	case !e.BodyCut && json.Valid([]byte(e.Body)):
		r.Body = json.RawMessage(e.Body)
	default:
		text, err := json.Marshal(e.Body)
		if err == nil { // a text always can be
			r.Body = text
		}
	}
	return r
}
