package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// CloneWithin is how far a clone may be behind its source, or a copy may make no step.
const CloneWithin = 15 * time.Minute

// A clone that follows is looked at once a minute, whether or not its source changes.
const selectClonesBehind = `
	SELECT p.id, p.name, coalesce(o.name, c.source_name), c.phase = 'following', coalesce(c.caught_up_at, c.updated_at), coalesce(c.wait_reason, '')
	FROM authsync.clones AS c
	JOIN authsync.projects AS p ON p.id = c.project_id
	LEFT JOIN authsync.projects AS o ON o.id = c.source_project_id
	WHERE (c.phase = 'following' AND c.caught_up_at < $1)
	   OR (c.phase NOT IN ('following', 'still') AND c.updated_at < $1)
	ORDER BY p.name`

// ClonesBehind finds clones that do not follow, or whose copy does not go on. The subject is empty: a project is one clone.
func ClonesBehind(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID       uuid.UUID
		Project, Source string
		IsFollowing     bool
		Since           time.Time
		Reason          string
	}
	found, err := collect[row](ctx, l, selectClonesBehind, l.Now.Add(-CloneWithin))
	return each(found, func(r row) Finding {
		f := Finding{
			Kind: CloneBehind, ProjectID: &r.ProjectID,
			Detail: fmt.Sprintf("project %s, a clone of %s, has not been up to date since %s", r.Project, r.Source, r.Since.UTC().Format(time.RFC3339)),
			Next:   "see to the reason; authsync projects get " + r.Project + " shows how far it is, and authsync projects resync " + r.Project + " --still --no-copy ends it",
		}
		if !r.IsFollowing {
			f.Detail = fmt.Sprintf("the copy of project %s into its clone %s has made no step since %s", r.Source, r.Project, r.Since.UTC().Format(time.RFC3339))
		}
		if r.Reason != "" {
			f.Detail += ": " + r.Reason
		}
		return f
	}), err
}
