package sender

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

// A deferral costs no attempt, because it is about the destination. If other deliveries succeed while the same
// one is deferred each time, it is about that delivery.
const (
	// asideAfter is the number of such deferrals after which the delivery gets a job of its own. Otherwise the
	// destination's job, and all other deliveries, would wait for it each time.
	asideAfter = 1
	// freeDeferrals is the number of such deferrals that cost no attempt. A delivery may hit a rate limit
	// shared with others several times in a row by chance.
	freeDeferrals = 5
)

const selectDeferrals = `SELECT id, deferrals, deferred_at FROM authsync.deliveries WHERE id = ANY ($1)`

// isDeferred reports whether the destination deferred this delivery, possibly this one only.
func (s *sent) isDeferred() bool {
	return s.result.Outcome == destination.Deferred && s.outcome == outcomeDeferred && !s.result.Shared && s.result.Status != 0
}

// countDeferrals finds the deliveries that are deferred while others succeed, and either gives them a
// job of their own or marks them failed.
//
// A delivery counts as such if it was deferred before and a delivery sent after it succeeded. It is not
// enough that others succeed: whenever a backlog hits a rate limit, some do, and those at its end are
// deferred each time.
func (s *Sender) countDeferrals(ctx context.Context, to *admitted, results []sent) error {
	of := make(map[int64]*sent)
	for i := range results {
		if results[i].isDeferred() {
			of[results[i].ID] = &results[i]
		}
	}
	if len(of) == 0 {
		return nil
	}
	rows, err := pgdb.Collect[struct {
		ID         int64
		Deferrals  int
		DeferredAt *time.Time
	}](ctx, s.config.Pool, selectDeferrals, pgdb.Planned, slices.Collect(maps.Keys(of)))
	if err != nil {
		return fmt.Errorf("read deferrals: %w", err)
	}
	for _, row := range rows {
		d := of[row.ID]
		d.deferrals = &row.Deferrals
		if row.DeferredAt == nil || to.lastSuccessSentAt == nil || !to.lastSuccessSentAt.After(*row.DeferredAt) {
			continue
		}
		row.Deferrals++
		d.result.Reason += "; others that were sent later got through"
		switch {
		case d.probe: // a probe tests the destination, not this delivery
		case row.Deferrals > freeDeferrals:
			d.result.Outcome = destination.Retry
			s.classify(d, false)
		case row.Deferrals >= asideAfter:
			d.aside = d.State != delivery.StateRetrying
		}
	}
	return nil
}

// deferralError says how long a destination wants nothing, and why.
func deferralError(result *destination.Result) *delivery.WaitError {
	reason := result.Reason
	if reason == "" {
		reason = "the destination asked for a pause"
	}
	return &delivery.WaitError{After: max(result.After, 100*time.Millisecond), Reason: reason}
}
