package usage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
)

// Interval is for how long messages are counted together, and Intervals how many of these a day has.
const (
	Interval  = 15 * time.Minute
	Intervals = int(24 * time.Hour / Interval)
)

// began is when the interval of a time began.
func began(at time.Time) time.Time { return at.UTC().Truncate(Interval) }

// Count is how many messages a project received within an Interval.
type Count struct {
	ProjectID    uuid.UUID
	BeganAt      time.Time
	MessageCount int64
}

// SelectCounts reads the counts of projects ($1) from a time on ($2).
const SelectCounts = `
	SELECT c.project_id, c.began_at, c.message_count
	FROM authsync.message_counts AS c
	WHERE c.project_id = ANY ($1) AND c.began_at >= $2`

// Since is when the first Interval of the last 24 hours began.
func Since(now time.Time) time.Time { return began(now).Add(-time.Duration(Intervals-1) * Interval) }

// LastDay has a count for each Interval of the last 24 hours, oldest first; the last one is not over. counted are those of a
// project, in any order.
func LastDay(projectID uuid.UUID, counted []Count, now time.Time) []Count {
	first := Since(now)
	all := make([]Count, Intervals)
	for n := range all {
		all[n] = Count{ProjectID: projectID, BeganAt: first.Add(time.Duration(n) * Interval)}
	}
	for _, c := range counted {
		n := int(c.BeganAt.Sub(first) / Interval)
		if c.ProjectID == projectID && n >= 0 && n < Intervals {
			all[n].MessageCount = c.MessageCount
		}
	}
	return all
}

// Reader reads what all processes have counted.
type Reader struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
}

// LastDay returns how many messages a project received within each Interval of the last 24 hours, oldest first.
func (r Reader) LastDay(ctx context.Context, projectID uuid.UUID) ([]Count, error) {
	now := r.Now()
	counted, err := pgdb.Collect[Count](ctx, r.Pool, SelectCounts, []uuid.UUID{projectID}, Since(now))
	if err != nil {
		return nil, fmt.Errorf("read how many messages were received: %w", err)
	}
	return LastDay(projectID, counted, now), nil
}
