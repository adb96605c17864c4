package admin

import (
	"context"
	"log/slog"
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
	Requests  []destination.Request // secrets masked; empty if the mapping makes none
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
	requests, err := to.Preview(ctx, message)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{MessageID: message.ID, Requests: append([]destination.Request{}, requests...)}
	begun := time.Now()
	answer := to.Send(ctx, []destination.Message{message})[0]
	result.Duration = time.Since(begun)
	result.Delivered = answer.Outcome == destination.Delivered && len(requests) > 0
	result.Response, result.Reason = answer.Response, answer.Reason
	if answer.Status != 0 {
		result.Status = &answer.Status
	}
	a.config.Log.InfoContext(ctx, "destination_tested", slog.String("destination_id", destinationID.String()),
		slog.String("type", to.TypeName), slog.Bool("delivered", result.Delivered), slog.Int("status", answer.Status))
	return result, nil
}
