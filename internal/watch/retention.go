package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// How long pruning may fail before that is a problem: the job runs every hour, and a project's database may be away for a while.
const (
	inboxUnprunedFor  = 6 * time.Hour
	mirrorUnprunedFor = 48 * time.Hour
)

const selectUnprunedInbox = `
	SELECT j.first, j.last
	FROM (
		SELECT min(r.created_at) AS first, max(r.finalized_at) FILTER (WHERE r.state = 'completed') AS last
		FROM authsync.river_job AS r
		WHERE r.kind = 'prune_inbox'
	) AS j
	WHERE coalesce(j.last, j.first) < $1`

const selectUnprunedMirrors = `
	SELECT p.id, p.name, coalesce(m.finished_at, p.created_at), m.last_error
	FROM authsync.mirror_prunings AS m
	JOIN authsync.projects AS p ON p.id = m.project_id
	WHERE m.last_error IS NOT NULL AND coalesce(m.finished_at, p.created_at) < $1
	ORDER BY p.name`

// OverdueRetention finds out where pruning falls behind: messages of the inbox, and the ledger and changes of projects.
func OverdueRetention(ctx context.Context, l *Look) ([]Finding, error) {
	type job struct {
		First time.Time
		Last  *time.Time
	}
	jobs, err := collect[job](ctx, l, selectUnprunedInbox, l.Now.Add(-inboxUnprunedFor))
	if err != nil {
		return nil, err
	}
	found := each(jobs, func(j job) Finding {
		f := Finding{
			Kind: RetentionOverdue, Severity: Warning,
			Detail: "messages past their retention are not deleted: no job prune_inbox has succeeded since " + Moment(j.First),
			Next:   "see its errors in River UI: /river/jobs?kind=prune_inbox",
		}
		if j.Last != nil {
			f.Detail = "messages past their retention are not deleted: the last job prune_inbox to succeed was at " + Moment(*j.Last)
		}
		return f
	})
	type mirror struct {
		ProjectID uuid.UUID
		Project   string
		Since     time.Time
		Error     string
	}
	mirrors, err := collect[mirror](ctx, l, selectUnprunedMirrors, l.Now.Add(-mirrorUnprunedFor))
	return append(found, each(mirrors, func(m mirror) Finding {
		return Finding{
			Kind: RetentionOverdue, ProjectID: &m.ProjectID, Severity: Warning,
			Detail: fmt.Sprintf("ledger and changes of project %s have not been pruned to the end since %s: %s", m.Project, Moment(m.Since), m.Error),
			Next:   "see to the reason; the job prune_mirrors tries again every hour",
		}
	})...), err
}
