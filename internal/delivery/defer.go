package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/destination"
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
func (r *run) countDeferrals(ctx context.Context, results []sent) error {
	of := make(map[int64]*sent)
	for i := range results {
		if results[i].isDeferred() {
			of[results[i].ID] = &results[i]
		}
	}
	if len(of) == 0 {
		return nil
	}
	rows, err := query[struct {
		ID         int64
		Deferrals  int
		DeferredAt *time.Time
	}](ctx, r.config.Pool, selectDeferrals, planned, slices.Collect(maps.Keys(of)))
	if err != nil {
		return fmt.Errorf("read deferrals: %w", err)
	}
	for _, row := range rows {
		s := of[row.ID]
		s.deferrals = &row.Deferrals
		if row.DeferredAt == nil || r.lastSuccessSentAt == nil || !r.lastSuccessSentAt.After(*row.DeferredAt) {
			continue
		}
		row.Deferrals++
		s.result.Reason += "; others that were sent later got through"
		switch {
		case s.probe: // a probe tests the destination, not this delivery
		case row.Deferrals > freeDeferrals:
			s.result.Outcome = destination.Retry
			r.classify(s, false)
		case row.Deferrals >= asideAfter:
			s.aside = s.State != stateRetrying
		}
	}
	return nil
}
