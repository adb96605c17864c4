package doctor

import (
	"context"
	"time"

	"github.com/authsync/authsync/internal/watch"
)

const (
	// electionTime is how long the workers may be without a leader: a starting or succeeding one is
	// elected within that time.
	electionTime = 7 * time.Second
	electionLook = 250 * time.Millisecond
)

// River elects a leader among the worker processes, whose lease lasts a few seconds.
const selectLeader = `SELECT EXISTS (SELECT FROM authsync.river_leader AS l WHERE l.expires_at > clock_timestamp())`

// workers checks that a process works jobs, and that none of their queues is paused.
func workers(ctx context.Context, c *Control) ([]Fault, error) {
	alive, err := awaitLeader(ctx, c)
	if err != nil {
		return nil, err
	}
	if !alive {
		return faultsOf([]watch.Finding{watch.NoWorker()}), nil
	}
	return conditions(watch.PausedQueues, watch.MissingPeriodicJobs)(ctx, c)
}

// awaitLeader reports whether there is a worker.
func awaitLeader(ctx context.Context, c *Control) (alive bool, err error) {
	look := time.NewTicker(electionLook)
	defer look.Stop()
	for until := time.Now().Add(electionTime); ; {
		if err := c.Pool.QueryRow(ctx, selectLeader).Scan(&alive); err != nil {
			return false, err
		}
		if alive || time.Now().After(until) {
			return alive, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
