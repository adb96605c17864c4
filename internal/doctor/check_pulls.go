package doctor

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/plural"
)

// A connection is recycled every few minutes, so one that waits longer than that for its turn, or
// for a process, is late.
const selectPullTrouble = `
	SELECT h.project, h.provider, h.state, coalesce(h.wait_reason, ''), h.consecutive_failures::bigint, h.reconcile_due
	FROM authsync.pull_health AS h
	JOIN authsync.pulls AS p ON p.project_id = h.project_id AND p.provider = h.provider
	WHERE h.state = 'failing' OR h.reconcile_due
	   OR h.state = 'waiting' AND coalesce(p.last_ended_at, p.since) < clock_timestamp() - interval '5 minutes'
	ORDER BY h.project, h.provider`

// pulls reports integrations whose events should be pulled and are not.
func pulls(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project, Provider, State, Reason string
		Failures                         int64
		ReconcileDue                     bool
	}
	found, err := collect[row](ctx, c, selectPullTrouble)
	return named(found, func(r row) Fault {
		of := fmt.Sprintf("%s of project %s", r.Provider, r.Project)
		switch r.State {
		case "failing":
			return Fault{
				What: fmt.Sprintf("pulling from %s has failed %s in a row: %s", of, plural.Of(r.Failures, "time"), r.Reason),
				Next: fmt.Sprintf("authsync integrations get %s %s", r.Project, r.Provider), Warning: r.Failures < 3,
			}
		case "waiting":
			return Fault{
				What: of + " has waited to be pulled for more than five minutes",
				Next: "run a process with the role worker, or raise AUTHSYNC_PULL_CONNECTIONS: more integrations are pulled than processes take at once",
			}
		default:
			return Fault{
				What: "events of " + of + " were lost, and the reconcile that finds what they said waits for another run to end",
				Next: fmt.Sprintf("authsync reconcile %s %s", r.Project, r.Provider), Warning: true,
			}
		}
	}), err
}
