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

// Maintain creates the partitions of today and the coming days. It waits for locks at most two
// seconds, so that it never delays messages for long; an error leaves everything unchanged, and the
// next run catches up. Several processes may call it at the same time.
func Maintain(ctx context.Context, pool *pgxpool.Pool) error {
	return maintain(ctx, pool, time.Now())
}

func maintain(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	_, err := pool.Exec(ctx, `SELECT authsync.make_inbox_partitions($1::text::date, $2)`, now.UTC().Format(time.DateOnly), daysAhead+1)
	if err != nil {
		return fmt.Errorf("make partitions of the inbox: %w", err)
	}
	return nil
}
