// Package upkeep keeps the road out whole: the job rescue_deliveries replaces deleted jobs and requests the relay of
// projects that have been idle for long, or hold back a deletion that is due, every 30 seconds; the job prune_deliveries deletes finished deliveries past
// their retention, every hour.
//
// Both may run at any time, together with everything else and more than once: what they find is locked and checked
// again by the SQL functions they call. If the process dies, the next job does the rest.
package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
)

// Config configures the jobs.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Log  *slog.Logger
	// Retention is how long finished deliveries of projects without a setting are kept; 0 means forever.
	Retention time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Register returns what adds the workers to the configuration of a River client. Their queue is the relay's.
func Register(config Config) jobs.Register {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return func(workers *river.Workers, _ map[string]river.QueueConfig) {
		river.AddWorker(workers, &rescueWorker{config: config})
		river.AddWorker(workers, &pruneWorker{config: config})
	}
}

const (
	rescueEvery = 30 * time.Second
	pruneEvery  = time.Hour
)

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(rescueEvery, delivery.RescueArgs{}), jobs.Every(pruneEvery, delivery.PruneArgs{})}
}

// rescueWorker works rescue_deliveries jobs.
type rescueWorker struct {
	river.WorkerDefaults[delivery.RescueArgs]

	config Config
}

// lookAfter is how long a project's feed may go unread. Reading it finds changes whose writer died before it
// requested the relay.
const lookAfter = 5 * time.Minute

// Destinations whose deliveries may have lost their job: a look-up or two in partial indexes each.
const selectToRescue = `
	SELECT p.destination_id
	FROM authsync.destination_progress AS p
	LEFT JOIN LATERAL (
		SELECT true AS found
		FROM authsync.deliveries AS o
		WHERE o.destination_id = p.destination_id AND o.state = 'blocked'
		ORDER BY o.order_key, o.change_id
		LIMIT 1
	) AS blocked ON true
	LEFT JOIN LATERAL (
		SELECT true AS found
		FROM authsync.deliveries AS o
		WHERE o.destination_id = p.destination_id AND o.state = 'retrying' AND o.next_attempt_at < $1::timestamptz - interval '1 minute'
		ORDER BY o.next_attempt_at
		LIMIT 1
	) AS overdue ON blocked.found IS NULL
	WHERE blocked.found OR overdue.found`

// The projects whose feed is to be read before deletions are sent that are held no longer: one look-up in a partial index each.
const requestDue = `
	SELECT count(authsync.request_relay(p.project_id))
	FROM (
		SELECT DISTINCT d.project_id
		FROM authsync.destinations AS d
		CROSS JOIN LATERAL (
			SELECT true AS found
			FROM authsync.deliveries AS o
			WHERE o.destination_id = d.id AND o.state = 'held' AND o.held_from IS NOT NULL AND o.held_from <= $1::timestamptz - coalesce(d.holdback, interval '0')
			ORDER BY o.state, o.held_from
			LIMIT 1
		) AS due
		WHERE NOT d.filter_halted
		ORDER BY d.project_id
	) AS p`

// Work replaces deleted jobs and requests the relay of projects that have been idle for long.
func (w *rescueWorker) Work(ctx context.Context, _ *river.Job[delivery.RescueArgs]) error {
	now := w.config.Now()
	rows, err := w.config.Pool.Query(ctx, selectToRescue, pgdb.Planned, now)
	if err != nil {
		return fmt.Errorf("find deliveries to rescue: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("find deliveries to rescue: %w", err)
	}
	var errs []error
	var rescued int64
	for _, id := range ids {
		var n int64
		errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.rescue_deliveries($1, $2)`, id, now).Scan(&n))
		rescued += n
	}
	errs = append(errs, w.config.Pool.QueryRow(ctx, requestDue, pgdb.Planned, now).Scan(nil))
	errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.request_idle($1)`, now.Add(-lookAfter)).Scan(nil))
	errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.prune_job_requests($1)`, now).Scan(nil))
	if rescued > 0 {
		w.config.Log.WarnContext(ctx, "deliveries_rescued", slog.Int64("deliveries", rescued))
	}
	return errors.Join(errs...)
}

// pruneWorker works prune_deliveries jobs.
type pruneWorker struct {
	river.WorkerDefaults[delivery.PruneArgs]

	config Config
}

const pruneBatch = 10_000

// Work deletes finished deliveries past their retention in batches.
func (w *pruneWorker) Work(ctx context.Context, _ *river.Job[delivery.PruneArgs]) error {
	var keep *time.Duration
	if w.config.Retention > 0 {
		keep = &w.config.Retention
	}
	for {
		var n int64
		err := w.config.Pool.QueryRow(ctx, `SELECT authsync.prune_deliveries($1, $2, $3)`, w.config.Now(), keep, pruneBatch).Scan(&n)
		if err != nil {
			return fmt.Errorf("prune deliveries: %w", err)
		}
		if n < pruneBatch {
			return nil
		}
	}
}
