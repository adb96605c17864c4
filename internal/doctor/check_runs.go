package doctor

import (
	"context"
	"fmt"
	"time"
)

const (
	// waitsFor is how long a run may wait before it is reported.
	waitsFor = time.Hour
	// startsWithin is how late a scheduled reconcile may start.
	startsWithin = 10 * time.Minute
)

// selectRuns returns the newest run of each kind that failed, has been waiting for long, or had
// deletions blocked.
const selectRuns = `
	SELECT p.name, r.provider, r.kind, r.state, coalesce(r.error, r.wait_reason, ''),
	       coalesce(CASE WHEN r.kind = 'reconcile' AND r.phase = 'confirm' THEN r.drift ->> 'deletions_blocked_reason' END, '')
	FROM (
		SELECT DISTINCT ON (b.project_id, b.provider, b.kind) b.*
		FROM authsync.sync_runs AS b
		WHERE b.options ->> 'dry_run' IS DISTINCT FROM 'true'
		ORDER BY b.project_id, b.provider, b.kind, b.started_at DESC, b.id
	) AS r
	JOIN authsync.projects AS p ON p.id = r.project_id
	JOIN authsync.integrations AS i ON i.project_id = r.project_id AND i.provider = r.provider
	WHERE (r.state = 'failed' AND NOT EXISTS ( -- a later one that came to its end has made up for it
	          SELECT FROM authsync.sync_runs AS l
	          WHERE l.project_id = r.project_id AND l.provider = r.provider AND l.state = 'done' AND l.started_at > r.started_at))
	   OR (r.state = 'waiting' AND r.updated_at < clock_timestamp() - $1::interval)
	   OR (r.state = 'done' AND r.kind = 'reconcile' AND r.drift ->> 'deletions_blocked_reason' IS NOT NULL)
	ORDER BY p.name, r.provider, r.kind`

type runRow struct{ Project, Provider, Kind, State, Reason, DeletionsBlockedReason string }

// runs reports backfills and reconciles that do not complete, and scheduled reconciles that do not
// start.
func runs(ctx context.Context, c *Control) ([]Fault, error) {
	found, err := collect[runRow](ctx, c, selectRuns, waitsFor)
	if err != nil {
		return nil, err
	}
	faults := named(found, runFault)
	type due struct{ Project, Provider string }
	late, err := collect[due](ctx, c, `
		SELECT p.name, d.provider
		FROM authsync.due_reconciles(clock_timestamp() - $1::interval) AS d
		JOIN authsync.integrations AS i ON i.project_id = d.project_id AND i.provider = d.provider
		JOIN authsync.projects AS p ON p.id = d.project_id
		WHERE i.updated_at < clock_timestamp() - $1::interval -- it was not due before it was set
		ORDER BY 1, 2`, startsWithin)
	if err != nil {
		return nil, err
	}
	return append(faults, named(late, func(d due) Fault {
		return Fault{
			What: fmt.Sprintf("the reconcile of %s in project %s has been due for more than %s and has not started", d.Provider, d.Project, words(startsWithin)),
			Next: "see the log of the workers (schedule_reconciles); or start it: authsync reconcile " + d.Project + " " + d.Provider,
		}
	})...), nil
}

func runFault(r runRow) Fault {
	again := fmt.Sprintf("authsync %s %s %s", r.Kind, r.Project, r.Provider)
	switch r.State {
	case "done":
		return Fault{
			Warning: true,
			What:    fmt.Sprintf("the reconcile of %s in project %s did not delete: %s", r.Provider, r.Project, r.DeletionsBlockedReason),
			Next:    "authsync reconcile " + r.Project + " " + r.Provider + " --dry-run shows them",
		}
	case "waiting":
		return Fault{
			What: fmt.Sprintf("the %s of %s in project %s has waited for more than an hour: %s", r.Kind, r.Provider, r.Project, r.Reason),
			Next: fmt.Sprintf("see to the reason, or end it: %s --cancel", again),
		}
	default:
		return Fault{
			What: fmt.Sprintf("the last %s of %s in project %s failed: %s", r.Kind, r.Provider, r.Project, r.Reason),
			Next: fmt.Sprintf("see to the reason, such as a missing credential (authsync integrations set %s %s), then: %s", r.Project, r.Provider, again),
		}
	}
}

// refreshes reports users that could not be read from their provider.
func refreshes(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project, Provider string
		Waiting, GivenUp  int64
		Problem           string
	}
	found, err := collect[row](ctx, c, `
		SELECT w.project, w.provider, w.waiting, w.given_up, coalesce(w.last_error, w.wait_reason, '')
		FROM authsync.pending_refreshes AS w
		WHERE w.given_up > 0 OR w.oldest < clock_timestamp() - $1::interval
		ORDER BY 1, 2`, waitsFor)
	if err != nil {
		return nil, err
	}
	return named(found, func(r row) Fault {
		return Fault{
			What: fmt.Sprintf("users of %s in project %s are to be read from it: %d wait, %d were given up: %s", r.Provider, r.Project, r.Waiting, r.GivenUp, r.Problem),
			Next: "see to the reason, then authsync refresh " + r.Project + " USER; SELECT * FROM authsync.pending_refreshes names them",
		}
	}), nil
}
