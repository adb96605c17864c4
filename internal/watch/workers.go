package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/plural"
)

const (
	// electionTime is how long the workers may be without a leader before one is missed: a starting or succeeding one is
	// elected within seconds.
	electionTime = time.Minute
	// PeriodicWithin is the maximum interval between jobs that are due every minute.
	PeriodicWithin = 5 * time.Minute
)

// NoWorker is the finding that no process works jobs.
func NoWorker() Finding {
	return Finding{
		Kind:   WorkerMissing,
		Detail: "no worker is running: messages are taken, but nothing is applied or delivered",
		Next:   "start authsync serve with the role worker (AUTHSYNC_ROLES)",
	}
}

// River elects a leader among the worker processes, whose lease lasts a few seconds.
const seeWorker = `
	UPDATE authsync.watch_state AS s
	SET worker_seen_at = CASE
	    WHEN EXISTS (SELECT FROM authsync.river_leader AS l WHERE l.expires_at > clock_timestamp()) THEN $1
	    ELSE greatest(s.worker_seen_at, $2) -- a worker gets its time after a pause, too
	END
	RETURNING s.worker_seen_at`

// missingWorker checks that a process works jobs. A rolling restart may leave them without a leader for some seconds.
func missingWorker(ctx context.Context, l *Look) ([]Finding, error) {
	var seen time.Time
	if err := l.Pool.QueryRow(ctx, seeWorker, l.Now, l.resumed).Scan(&seen); err != nil {
		return nil, err
	}
	if l.Now.Sub(seen) < electionTime {
		return nil, nil
	}
	return []Finding{NoWorker()}, nil
}

const selectPausedQueues = `
	SELECT q.name, q.paused_at,
	       (SELECT count(*) FROM authsync.river_job AS j WHERE j.queue = q.name AND j.state IN ('available', 'scheduled', 'retryable'))
	FROM authsync.river_queue AS q
	WHERE q.paused_at IS NOT NULL
	ORDER BY q.name`

// PausedQueues finds the queues that somebody has paused. The subject is the name.
func PausedQueues(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		Name  string
		Since time.Time
		Jobs  int64
	}
	found, err := collect[row](ctx, l, selectPausedQueues)
	return each(found, func(r row) Finding {
		return Finding{
			Kind: QueuePaused, Subject: r.Name,
			Detail: fmt.Sprintf("queue %s has been paused since %s, for all projects; %s %s in it", r.Name, Moment(r.Since), plural.Of(r.Jobs, "job"), plural.Word(r.Jobs, "waits", "wait")),
			Next:   "resume it in River UI: /river/queues/" + r.Name,
		}
	}), err
}

const selectMissingPeriodic = `
	SELECT k.kind
	FROM unnest(ARRAY['schedule_reconciles', 'check_mirrors']) AS k (kind)
	WHERE NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.kind = k.kind AND j.created_at > $1)
	  AND (SELECT min(l.elected_at) FROM authsync.river_leader AS l) < $1`

// MissingPeriodicJobs finds the jobs that are due every minute but did not run, although there has been a worker for a while.
func MissingPeriodicJobs(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct{ Kind string }
	found, err := collect[row](ctx, l, selectMissingPeriodic, l.Now.Add(-PeriodicWithin))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	kinds := make([]string, len(found))
	for i, r := range found {
		kinds[i] = r.Kind
	}
	return []Finding{{
		Kind:   PeriodicJobsMissing,
		Detail: fmt.Sprintf("%s should run every minute, and did not for %s", strings.Join(kinds, ", "), formatDuration(PeriodicWithin)),
		Next:   "see the log of the workers; restart them",
	}}, nil
}
