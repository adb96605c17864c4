package watch

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The kinds of problems, for programs. docs/alarms.md describes them.
const (
	WorkerMissing       = "worker_missing"
	QueuePaused         = "queue_paused"
	PeriodicJobsMissing = "periodic_jobs_missing"
	ProjectDatabaseDown = "project_database_down"
	CertificateExpiring = "certificate_expiring"
	CredentialsRejected = "credentials_rejected"
	StreamStopped       = "stream_stopped"
	Silence             = "silence"
	Lag                 = "lag"
	FailedShare         = "failed_share"
	RequestsRejected    = "requests_rejected"
	PartitionsMissing   = "partitions_missing"
	DestinationStopped  = "destination_stopped"
	DestinationFailing  = "destination_failing"
	DestinationOverdue  = "destination_overdue"
	SyncRunFailed       = "sync_run_failed"
	SyncRunStuck        = "sync_run_stuck"
	ReconcileOverdue    = "reconcile_overdue"
	DeletionsBlocked    = "deletions_blocked"
	CloneBehind         = "clone_behind"
	KeyExpiring         = "key_expiring"
	ClockSkew           = "clock_skew"
	DatabaseSize        = "database_size"
	RetentionOverdue    = "retention_overdue"
	NotEvaluated        = "not_evaluated"
)

// Kinds lists the kinds of problems.
func Kinds() []string {
	all := []string{NotEvaluated}
	for _, c := range conditions() {
		all = append(all, c.kinds...)
	}
	return all
}

// Checked lists the kinds that doctor finds by itself.
func Checked() (kinds []string) {
	for _, c := range conditions() {
		if c.checked {
			kinds = append(kinds, c.kinds...)
		}
	}
	return kinds
}

// condition is one thing that is watched.
type condition struct {
	kinds []string // of its findings
	look  func(ctx context.Context, l *Look) ([]Finding, error)
	// checked means that doctor evaluates the condition itself, so that it need not print the open problems.
	checked bool
}

// conditions lists them in the order of evaluation.
func conditions() []condition {
	return []condition{
		{[]string{WorkerMissing}, missingWorker, true},
		{[]string{QueuePaused}, PausedQueues, true},
		{[]string{PeriodicJobsMissing}, MissingPeriodicJobs, true},
		{[]string{Silence}, silence, false},
		{[]string{ProjectDatabaseDown, CertificateExpiring}, databases, false},
		{[]string{CredentialsRejected, StreamStopped}, providers, false},
		{[]string{Lag}, LaggingProjects, true},
		{[]string{FailedShare}, failedShares, false},
		{[]string{RequestsRejected}, RejectedRequests, true},
		{[]string{PartitionsMissing}, MissingPartitions, true},
		{[]string{DestinationStopped, DestinationFailing, DestinationOverdue}, Destinations, true},
		{[]string{SyncRunFailed, SyncRunStuck, DeletionsBlocked}, SyncRuns, true},
		{[]string{ReconcileOverdue}, OverdueReconciles, true},
		{[]string{CloneBehind}, ClonesBehind, true},
		{[]string{KeyExpiring}, ExpiringKeys, true},
		{[]string{ClockSkew}, Clocks, true},
		{[]string{DatabaseSize}, databaseSize, false},
		{[]string{RetentionOverdue}, OverdueRetention, true},
	}
}

// Look is what conditions are evaluated with.
type Look struct {
	Pool *pgxpool.Pool // the control database
	Now  time.Time
	// SizeLimit is Config.SizeLimit.
	SizeLimit int64

	resumed time.Time // when evaluations began; see authsync.watch_state
	clock   func() time.Time
}

// NewLook returns a Look for a single use, as doctor's.
func NewLook(pool *pgxpool.Pool, now func() time.Time) *Look {
	return &Look{Pool: pool, Now: now(), clock: now}
}

// collect reads the rows of a condition by position.
func collect[T any](ctx context.Context, l *Look, query string, args ...any) ([]T, error) {
	rows, err := l.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// each makes a finding of each row.
func each[T any](all []T, finding func(T) Finding) []Finding {
	found := make([]Finding, len(all))
	for i, one := range all {
		found[i] = finding(one)
	}
	return found
}
