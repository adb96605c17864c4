package doctor

import (
	"context"
	"fmt"
	"time"
)

// lateAfter is the age at which a pending message is overdue.
const lateAfter = 5 * time.Minute

// lateMessages lists the projects with overdue messages.
func lateMessages(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project  string
		Messages int64
		Oldest   time.Duration
		Reason   *string
	}
	found, err := collect[row](ctx, c, `
		SELECT l.project, l.pending_messages, l.oldest_pending_age, l.wait_reason
		FROM authsync.project_lag AS l
		WHERE l.oldest_pending_age > $1::interval
		ORDER BY l.oldest_pending_age DESC, l.project`, lateAfter)
	if err != nil {
		return nil, err
	}
	return named(found, func(r row) Fault {
		f := Fault{
			What: fmt.Sprintf("%d messages of project %s wait to be applied, the oldest for %s", r.Messages, r.Project, words(r.Oldest)),
			Next: "authsync events list " + r.Project + " --outcome pending; see the log of the workers",
		}
		if r.Reason != nil {
			f.What += ": " + *r.Reason
			f.Next = "see to the reason; they are applied by themselves then"
		}
		return f
	}), nil
}
