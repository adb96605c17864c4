package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// electionTime is how long the workers may be without a leader: a starting or succeeding one is
	// elected within that time.
	electionTime = 7 * time.Second
	electionLook = 250 * time.Millisecond
	// periodicWithin is the maximum interval between jobs that are due every minute.
	periodicWithin = 5 * time.Minute
)

// River elects a leader among the worker processes, whose lease lasts a few seconds.
const selectLeader = `
	SELECT EXISTS (SELECT FROM authsync.river_leader AS l WHERE l.expires_at > clock_timestamp()),
	       coalesce((SELECT min(l.elected_at) FROM authsync.river_leader AS l) < clock_timestamp() - $1::interval, false)`

// workers checks that a process works jobs, and that none of their queues is paused.
func workers(ctx context.Context, c *Control) ([]Fault, error) {
	alive, settled, err := awaitLeader(ctx, c)
	if err != nil {
		return nil, err
	}
	if !alive {
		return []Fault{{
			What: "no worker is running: messages are taken, but nothing is applied or delivered",
			Next: "start authsync serve with the role worker (AUTHSYNC_ROLES)",
		}}, nil
	}
	faults, err := pausedQueues(ctx, c)
	if err != nil || !settled {
		return faults, err
	}
	more, err := missedPeriodic(ctx, c)
	return append(faults, more...), err
}

// awaitLeader reports whether there is a worker, and whether it has been there for a while.
func awaitLeader(ctx context.Context, c *Control) (alive, settled bool, err error) {
	look := time.NewTicker(electionLook)
	defer look.Stop()
	for until := time.Now().Add(electionTime); ; {
		if err := c.Pool.QueryRow(ctx, selectLeader, periodicWithin).Scan(&alive, &settled); err != nil {
			return false, false, err
		}
		if alive || time.Now().After(until) {
			return alive, settled, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false, false, ctx.Err()
		}
	}
}

func pausedQueues(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Name  string
		Since time.Time
		Jobs  int64
	}
	found, err := collect[row](ctx, c, `
		SELECT q.name, q.paused_at,
		       (SELECT count(*) FROM authsync.river_job AS j WHERE j.queue = q.name AND j.state IN ('available', 'scheduled', 'retryable'))
		FROM authsync.river_queue AS q
		WHERE q.paused_at IS NOT NULL
		ORDER BY q.name`)
	if err != nil {
		return nil, err
	}
	return named(found, func(r row) Fault {
		return Fault{
			What: fmt.Sprintf("queue %s has been paused since %s, for all projects; %d jobs wait in it", r.Name, moment(r.Since), r.Jobs),
			Next: "resume it in River UI: /river/queues/" + r.Name,
		}
	}), nil
}

// missedPeriodic lists the jobs that are due every minute but did not run.
func missedPeriodic(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct{ Kind string }
	found, err := collect[row](ctx, c, `
		SELECT k.kind
		FROM unnest(ARRAY['schedule_reconciles', 'check_mirrors']) AS k (kind)
		WHERE NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.kind = k.kind AND j.created_at > clock_timestamp() - $1::interval)`,
		periodicWithin)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	kinds := make([]string, len(found))
	for i, r := range found {
		kinds[i] = r.Kind
	}
	return []Fault{{
		What: fmt.Sprintf("%s should run every minute, and did not for %s", strings.Join(kinds, ", "), words(periodicWithin)),
		Next: "see the log of the workers; restart them",
	}}, nil
}

// moment formats a time for people.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// words formats a duration for people, in its largest unit.
func words(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.of {
			return fmt.Sprintf("%d %s", d/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
