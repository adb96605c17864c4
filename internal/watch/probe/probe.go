// Package probe looks at what lies outside the control database for package watch, and heals what it can: the job
// probe_projects asks each project's database for an answer, and each provider that allows it for the state of its event
// streams. What it finds is a row of authsync.probes, which the conditions of package watch read.
//
//	             bad stream, or silence            provider sends again          run done
//	no gap ────────────────────────────▶ gap ──────────────────────▶ reconcile ──────────▶ no gap
//	                                      │ each look: ask for the failed deliveries,
//	                                      └ enable the stream if option heal.reenable allows it
//
// A provider that disabled a stream keeps no events of that time, and no redelivery brings them: a reconcile does. A
// process that dies leaves the rows as they are, and the next look goes on from them.
//
// Each probe is bounded in time, and a few run at once. Those that failed the last time come last, so that databases
// that do not answer delay only each other.
package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/watch"
)

const (
	// every is the pause between two jobs.
	every = 30 * time.Second
	// atOnce is how many probes run at the same time, databaseTime and providerTime bound one.
	atOnce       = 16
	databaseTime = 5 * time.Second
	providerTime = 20 * time.Second
	// claimFor is how long no other job takes a probe that was begun.
	claimFor = 2 * time.Minute
	// batch is how many probes a job takes.
	batch = 500
	// A database is probed each databasePause, a provider as often as Auth0 advises; what is wrong is probed sooner.
	databasePause, providerPause, gapPause = 2 * time.Minute, 5 * time.Minute, time.Minute
)

// Args are the arguments of probe_projects.
type Args struct{}

// Kind implements river.JobArgs.
func (Args) Kind() string { return "probe_projects" }

// InsertOpts allows few attempts: the next job comes soon.
func (Args) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

// Config configures the worker.
type Config struct {
	Pool *pgxpool.Pool // the control database
	// DatabaseURL returns the URL of a project's database, Tenants connects to it.
	DatabaseURL func(ctx context.Context, projectID uuid.UUID) (string, error)
	Tenants     *pgdb.Tenants
	Accounts    source.Accounts
	// Start starts a reconcile, Latest returns the newest; see syncrun.Store.
	Start  func(ctx context.Context, projectID uuid.UUID, providerName string, o syncrun.Order) (syncrun.Run, error)
	Latest func(ctx context.Context, projectID uuid.UUID, providerName, kind string) (syncrun.Run, error)
	Log    *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Register adds the worker to a client under construction; see jobs.New.
func Register(config Config) jobs.Register {
	return func(workers *river.Workers, _ map[string]river.QueueConfig) {
		river.AddWorker(workers, NewWorker(config))
	}
}

// Periodic returns the periodic job.
func Periodic() []*river.PeriodicJob { return []*river.PeriodicJob{jobs.Every(every, Args{})} }

// Worker works probe_projects.
type Worker struct {
	river.WorkerDefaults[Args]
	config Config
}

// NewWorker returns a Worker.
func NewWorker(config Config) *Worker {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{config: config}
}

// Timeout is that of all jobs.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return jobs.Timeout }

const (
	addProbes = `
		INSERT INTO authsync.probes (project_id, subject, next_probe_at)
		SELECT p.id, 'database', $1::timestamptz FROM authsync.projects AS p
		UNION ALL
		SELECT i.project_id, i.provider, $1::timestamptz FROM authsync.integrations AS i
		ON CONFLICT DO NOTHING`

	dropProbes = `
		DELETE FROM authsync.probes AS b
		WHERE b.subject <> 'database'
		  AND NOT EXISTS (SELECT FROM authsync.integrations AS i WHERE i.project_id = b.project_id AND i.provider = b.subject)`

	takeProbes = `
		UPDATE authsync.probes AS b
		SET next_probe_at = $1::timestamptz + $2::interval
		FROM (
			SELECT q.project_id, q.subject
			FROM authsync.probes AS q
			WHERE q.next_probe_at <= $1
			ORDER BY q.failing_since NULLS FIRST, q.next_probe_at
			LIMIT $3
			FOR UPDATE SKIP LOCKED
		) AS due
		WHERE b.project_id = due.project_id AND b.subject = due.subject
		RETURNING b.project_id, b.subject, b.probed_at, b.failing_since, b.consecutive_failures, b.finding, b.detail, b.certificate_expires_at,
		          b.gap_since, b.gap_until, b.redelivery_at, b.run_id,
		          EXISTS (SELECT FROM authsync.problems AS p
		                  WHERE p.project_id = b.project_id AND p.subject = b.subject AND p.kind = 'silence' AND p.closed_at IS NULL) AS silent`

	recordProbe = `
		UPDATE authsync.probes AS b
		SET next_probe_at = $3, probed_at = $4, failing_since = $5, consecutive_failures = $6, finding = $7, detail = $8, certificate_expires_at = $9,
		    gap_since = $10, gap_until = $11, redelivery_at = $12, run_id = $13
		WHERE b.project_id = $1 AND b.subject = $2`
)

// state is a row of authsync.probes.
type state struct {
	ProjectID            uuid.UUID
	Subject              string
	ProbedAt             *time.Time
	FailingSince         *time.Time
	ConsecutiveFailures  int
	Finding              *string
	Detail               *string
	CertificateExpiresAt *time.Time
	GapSince             *time.Time
	GapUntil             *time.Time
	RedeliveryAt         *time.Time
	RunID                *uuid.UUID
	Silent               bool // the evaluation says so

	pause time.Duration // until the next probe
}

// Work probes what is due. If the process dies, the rest is due again after claimFor.
func (w *Worker) Work(ctx context.Context, _ *river.Job[Args]) error { return w.Look(ctx) }

// Look makes all probes that are due.
func (w *Worker) Look(ctx context.Context) error {
	now := w.config.Now()
	if _, err := w.config.Pool.Exec(ctx, addProbes, now); err != nil {
		return fmt.Errorf("add probes: %w", err)
	}
	if _, err := w.config.Pool.Exec(ctx, dropProbes); err != nil {
		return fmt.Errorf("drop probes: %w", err)
	}
	due, err := pgdb.Collect[state](ctx, w.config.Pool, takeProbes, now, claimFor, batch)
	if err != nil {
		return fmt.Errorf("take probes: %w", err)
	}
	// An UPDATE returns its rows in any order.
	slices.SortStableFunc(due, func(a, b state) int { return min(a.ConsecutiveFailures, 1) - min(b.ConsecutiveFailures, 1) })
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range due {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the next job takes it
			}
			return w.one(ctx, &due[i])
		})
	}
	return group.Wait()
}

// one makes one probe and records what it found.
func (w *Worker) one(ctx context.Context, s *state) error {
	if s.Subject == watch.DatabaseSubject {
		w.database(ctx, s)
	} else {
		w.provider(ctx, s)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what was not found out is not recorded
	}
	now := w.config.Now()
	_, err := w.config.Pool.Exec(ctx, recordProbe, s.ProjectID, s.Subject, now.Add(s.pause), now, s.FailingSince, s.ConsecutiveFailures, s.Finding, s.Detail,
		s.CertificateExpiresAt, s.GapSince, s.GapUntil, s.RedeliveryAt, s.RunID)
	if err != nil && ctx.Err() == nil { // as above, if it ended amid this
		return fmt.Errorf("record the probe of %s of project %s: %w", s.Subject, s.ProjectID, err)
	}
	return nil
}

// failed notes a failed probe, succeeded a good one.
func (s *state) failed(now time.Time, detail string) {
	if s.FailingSince == nil {
		s.FailingSince = &now
	}
	s.ConsecutiveFailures++
	s.Detail = &detail
}

func (s *state) succeeded() { s.FailingSince, s.ConsecutiveFailures, s.Detail = nil, 0, nil }

var errNoAnswer = errors.New("it does not answer in time")
