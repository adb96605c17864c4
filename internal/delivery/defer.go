package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/destination"
)

// An answer that asks to come later costs no attempt: it speaks of the destination. If others
// get through and the same delivery is put off each time, it speaks of that one.
const (
	// asideAfter is how often a delivery is put off, while others get through, before it goes on
	// by a job of its own: the destination's would wait for it each time, and all others with it.
	asideAfter = 1
	// freeDeferrals is how often that costs no attempt. An account's limit that others use up
	// may be met several times in a row by bad luck.
	freeDeferrals = 5
)

const selectDeferrals = `SELECT id, deferrals, deferred_at FROM authsync.deliveries WHERE id = ANY ($1)`

// isDeferred reports that the other side put off this delivery, perhaps alone.
func (s *sent) isDeferred() bool {
	return s.result.Outcome == destination.Deferred && s.outcome == outcomeDeferred && !s.result.Shared && s.result.Status != 0
}

// countDeferrals finds the results that put off a delivery alone, and says what follows: it goes on
// by itself, or it has failed.
//
// Alone it is if it was put off before, and then one got through that was sent after it. That
// others get through is not enough: of a backlog that meets a limit some do each time, and
// those at its end are put off each time.
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
		return fmt.Errorf("read how often deliveries were put off: %w", err)
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
		case s.probe: // it tells of the destination that somebody is there
		case row.Deferrals > freeDeferrals:
			s.result.Outcome = destination.Retry
			r.classify(s, false)
		case row.Deferrals >= asideAfter:
			s.aside = s.State != stateRetrying
		}
	}
	return nil
}
