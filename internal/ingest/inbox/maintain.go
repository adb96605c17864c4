package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// daysAhead is for how many days to come there are partitions: so long may
// Maintain fail to run until deliveries land in the default partition.
const daysAhead = 7

// Maintain makes the partitions of today and the coming days and, if retention
// is not 0, drops the days (of UTC) that lie wholly before now minus retention. A
// day that still holds deliveries without outcome or failed events is kept; the
// views overdue_messages and event_failures say which they are. Maintain waits
// for locks two seconds at most, so that it never holds up deliveries for long; an
// error leaves everything as it was, and the next run makes up for it. Several
// processes may call it at once.
func Maintain(ctx context.Context, pool *pgxpool.Pool, retention time.Duration) error {
	return maintain(ctx, pool, retention, time.Now())
}

func maintain(ctx context.Context, pool *pgxpool.Pool, retention time.Duration, now time.Time) error {
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	if _, err := pool.Exec(ctx, `SELECT authsync.make_inbox_partitions($1::text::date, $2)`, day(now), daysAhead+1); err != nil {
		return fmt.Errorf("make partitions of the inbox: %w", err)
	}
	if retention <= 0 {
		return nil
	}
	if _, err := pool.Exec(ctx, `SELECT authsync.prune_inbox_partitions($1::text::date)`, day(now.Add(-retention))); err != nil {
		return fmt.Errorf("drop old partitions of the inbox: %w", err)
	}
	return nil
}
