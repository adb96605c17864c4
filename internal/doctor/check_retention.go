package doctor

import (
	"context"
	"time"

	"github.com/authsync/authsync/internal/watch"
)

// retained checks that what is past its retention is deleted, and mentions what is kept because something needs it.
func retained(ctx context.Context, c *Control) ([]Fault, error) {
	faults, err := conditions(watch.OverdueRetention)(ctx, c)
	if err != nil {
		return nil, err
	}
	type row struct {
		Project, Reason string
		Since           *time.Time
	}
	found, err := collect[row](ctx, c, `
		SELECT p.name, m.held_reason, m.held_since
		FROM authsync.mirror_prunings AS m
		JOIN authsync.projects AS p ON p.id = m.project_id
		WHERE m.held_reason IS NOT NULL
		ORDER BY m.held_since NULLS FIRST, p.name`)
	return append(faults, named(found, func(r row) Fault {
		what := "the change feed of project " + r.Project + " keeps changes that are past their retention"
		if r.Since != nil {
			what += ", since " + watch.Moment(*r.Since)
		}
		return Fault{
			What: what + ": " + r.Reason, Warning: true,
			Next: "they are deleted within an hour once that is over: authsync destinations list " + r.Project + " shows what stands still",
		}
	})...), err
}
