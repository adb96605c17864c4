package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
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
func (o *Outbox) Test(ctx context.Context, projectID, destinationID uuid.UUID, eventType string) (TestResult, error) {
	t, err := o.previewed(ctx, destinationID, destination.TestUserID)
	if err != nil {
		return TestResult{}, err
	}
	built, err := o.build(ctx, destinationID, t.UpdatedAt)
	if err != nil {
		return TestResult{}, err
	}
	if why := built.capabilities.NoTest; why != "" {
		return TestResult{}, fault.New(fault.Invalid, why)
	}
	message, err := destination.TestMessage(destinationID, projectID, eventType, o.config.Now())
	if err != nil {
		return TestResult{}, err
	}
	requests, err := built.Preview(ctx, message)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{MessageID: message.ID, Requests: append([]destination.Request{}, requests...)}
	begun := time.Now()
	answer := o.sendAll(ctx, built, []destination.Message{message})[0]
	result.Duration = time.Since(begun)
	result.Delivered = answer.Outcome == destination.Delivered && len(requests) > 0
	result.Response, result.Reason = answer.Response, answer.Reason
	if answer.Status != 0 {
		result.Status = &answer.Status
	}
	o.config.Log.InfoContext(ctx, "destination_tested", slog.String("destination_id", destinationID.String()),
		slog.String("type", built.typeName), slog.Bool("delivered", result.Delivered), slog.Int("status", answer.Status))
	return result, nil
}
