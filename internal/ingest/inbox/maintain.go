package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// daysAhead is the number of days with partitions created in advance: Maintain may fail for that
// long before messages go into the default partition.
const daysAhead = 7

// Maintain creates the partitions of today and the coming days and, if retention is not 0, drops
// the (UTC) days that lie entirely before now minus retention. It keeps a day that has messages
// without an outcome or failed events; the views overdue_messages and event_failures list them.
// Maintain waits for locks at most two seconds, so that it never delays messages for long; an error
// leaves everything unchanged, and the next run catches up. Several processes may call it at the
// same time.
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
