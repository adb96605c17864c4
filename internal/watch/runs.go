package watch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const (
	// StandsFor is how long a run may make no progress before it is reported.
	StandsFor = time.Hour
	// startsWithin is how late a scheduled reconcile may start.
	startsWithin = 10 * time.Minute
)

// selectRuns returns the newest run of each kind that failed, has made no progress for long, or had
// deletions blocked. An attempt is no progress: it ends in a pause of five minutes at most.
const selectRuns = `
	SELECT p.id, p.name, r.provider, r.kind, r.state, coalesce(r.error, r.wait_reason, ''), r.progressed_at,
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
	   OR (r.state IN ('running', 'waiting') AND r.progressed_at < $1)
	   OR (r.state = 'done' AND r.kind = 'reconcile' AND r.drift ->> 'deletions_blocked_reason' IS NOT NULL)
	ORDER BY p.name, r.provider, r.kind`

type runRow struct {
	ProjectID                              uuid.UUID
	Project, Provider, Kind, State, Reason string
	ProgressedAt                           time.Time
	DeletionsBlockedReason                 string
}

// SyncRuns finds backfills and reconciles that do not complete. The subject is the provider, a space, and the kind
// of the run.
func SyncRuns(ctx context.Context, l *Look) ([]Finding, error) {
	found, err := collect[runRow](ctx, l, selectRuns, l.Now.Add(-StandsFor))
	return each(found, func(r runRow) Finding { return r.finding() }), err
}

const selectOverdueReconciles = `
	SELECT p.id, p.name, d.provider
	FROM authsync.due_reconciles($1::timestamptz - $2::interval) AS d
	JOIN authsync.integrations AS i ON i.project_id = d.project_id AND i.provider = d.provider
	JOIN authsync.projects AS p ON p.id = d.project_id
	WHERE i.updated_at < $1::timestamptz - $2::interval -- it was not due before it was set
	ORDER BY 2, 3`

// OverdueReconciles finds scheduled reconciles that do not start. The subject is the provider.
func OverdueReconciles(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID         uuid.UUID
		Project, Provider string
	}
	found, err := collect[row](ctx, l, selectOverdueReconciles, l.Now, startsWithin)
	return each(found, func(r row) Finding {
		return Finding{
			Kind: ReconcileOverdue, ProjectID: &r.ProjectID, Subject: r.Provider,
			Detail: fmt.Sprintf("the reconcile of %s in project %s has been due for more than %s and has not started", r.Provider, r.Project, formatDuration(startsWithin)),
			Next:   "see the log of the workers (schedule_reconciles); or start it: authsync reconcile " + r.Project + " " + r.Provider,
		}
	}), err
}

func (r *runRow) finding() Finding {
	again := fmt.Sprintf("authsync %s %s %s", r.Kind, r.Project, r.Provider)
	f := Finding{ProjectID: &r.ProjectID, Subject: r.Provider + " " + r.Kind}
	switch r.State {
	case "done":
		f.Kind, f.Severity = DeletionsBlocked, Warning
		f.Detail = fmt.Sprintf("the reconcile of %s in project %s did not delete: %s", r.Provider, r.Project, r.DeletionsBlockedReason)
		f.Next = "authsync reconcile " + r.Project + " " + r.Provider + " --dry-run shows them"
	case "running", "waiting":
		f.Kind = SyncRunStuck
		f.Detail = fmt.Sprintf("the %s of %s in project %s has made no progress since %s: %s", r.Kind, r.Provider, r.Project, Moment(r.ProgressedAt),
			cmp.Or(r.Reason, "no worker has taken it up, or none gets to the end of a page"))
		f.Next = fmt.Sprintf("see to the reason, or end it: %s --cancel", again)
	default:
		f.Kind = SyncRunFailed
		f.Detail = fmt.Sprintf("the last %s of %s in project %s failed: %s", r.Kind, r.Provider, r.Project, r.Reason)
		f.Next = fmt.Sprintf("see to the reason, such as a missing credential (authsync integrations set %s %s), then: %s", r.Project, r.Provider, again)
	}
	return f
}
