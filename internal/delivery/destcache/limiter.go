package destcache

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pause"
)

const (
	// maxLate is how long a permit stays valid after its time; see destination.Limiter. The spacing of permits
	// allows for it.
	maxLate = time.Second
	// maxPermitWait is the longest time that Take waits for a permit.
	maxPermitWait = 2 * time.Second
)

// limiter enforces an account's rate limits through rows of authsync.rate_limits that all processes share. It
// uses the database's clock, so the processes' clocks need not agree.
type limiter struct {
	pool   *pgxpool.Pool
	scope  string
	limits map[string]destination.Limit
}

const takePermit = `
	SELECT is_granted, extract(epoch FROM wait)::double precision, coalesce(reason, '')
	FROM authsync.take_permit($1, $2, $3, make_interval(secs => $4), $5, $6, make_interval(secs => $7), make_interval(secs => $8), clock_timestamp())`

// Take waits until a request of the bucket may be sent; see destination.Limiter. A bucket without limits passes
// unless it is blocked.
func (l *limiter) Take(ctx context.Context, bucket string) error {
	if l.scope == "" {
		return nil
	}
	limit := l.limits[bucket]
	zone := limit.Zone
	if zone == "" {
		zone = "UTC"
	}
	for {
		var granted bool
		var seconds float64
		var reason string
		start := time.Now()
		err := l.pool.QueryRow(ctx, takePermit, l.scope, bucket, limit.Requests, limit.Per.Seconds(), limit.Daily, zone,
			maxLate.Seconds(), maxPermitWait.Seconds()).Scan(&granted, &seconds, &reason)
		if err != nil {
			return fmt.Errorf("take a permit: %w", err)
		}
		wait := time.Duration(seconds * float64(time.Second))
		if !granted {
			return &destination.DeferredError{After: wait, Reason: reason}
		}
		if err := pause.For(ctx, wait-time.Since(start)); err != nil {
			return err
		}
		// The caller may use the other half.
		if limit.Requests == 0 || time.Since(start) < wait+maxLate/2 {
			return nil
		}
	}
}

// Block rejects requests of the bucket for a while.
func (l *limiter) Block(ctx context.Context, bucket string, d time.Duration, reason string) error {
	if l.scope == "" {
		return nil
	}
	_, err := l.pool.Exec(ctx, `SELECT authsync.block_limit($1, $2, clock_timestamp() + make_interval(secs => $3), $4)`,
		l.scope, bucket, d.Seconds(), reason)
	if err != nil {
		return fmt.Errorf("block requests: %w", err)
	}
	return nil
}
