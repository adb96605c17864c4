package doctor

import (
	"context"
	"fmt"
	"time"
)

const (
	// failingFor is when a failing destination is no longer considered temporary, lateFor when a
	// delivery is late.
	failingFor, lateFor = 10 * time.Minute, 30 * time.Minute
)

// selectTroubled lists the destinations that authsync stopped, those that a user stopped and that
// have waiting deliveries, those that have been failing or waiting for too long, and those with a
// notice.
const selectTroubled = `
	SELECT h.project, h.name, h.state, coalesce(h.state_reason, ''), h.state_by = 'system', h.state_since, h.failing_since,
	       h.waiting + h.retrying, h.oldest_waiting_at, coalesce(h.wait_reason, '')
	FROM authsync.destination_health AS h
	WHERE (h.state <> 'active' AND (h.state_by = 'system' OR h.waiting + h.retrying > 0))
	   OR (h.state = 'active' AND h.failing_since IS NOT NULL)
	   OR (h.state = 'active' AND h.waiting > 0 AND h.oldest_waiting_at < clock_timestamp() - $1::interval)
	   OR (h.state = 'active' AND h.state_reason IS NOT NULL)
	ORDER BY h.project, h.name`

type destinationRow struct {
	Project, Name, State, Reason string
	Stopped                      bool // by authsync
	Since                        time.Time
	FailingSince                 *time.Time
	Waiting                      int64
	Oldest                       *time.Time
	WaitReason                   string
}

// destinations reports those that do not get their deliveries.
func destinations(ctx context.Context, c *Control) ([]Fault, error) {
	found, err := collect[destinationRow](ctx, c, selectTroubled, lateFor)
	if err != nil {
		return nil, err
	}
	return named(found, func(r destinationRow) Fault {
		f := Fault{What: fmt.Sprintf("%s of project %s ", r.Name, r.Project), Next: fmt.Sprintf("authsync destinations get %s %s", r.Project, r.Name)}
		switch {
		case r.State != "active":
			f.What += "is " + r.State
			if r.Reason != "" {
				f.What += ": " + r.Reason
			}
			if r.Waiting > 0 {
				f.What += fmt.Sprintf("; %d deliveries wait since %s", r.Waiting, moment(r.Since))
			}
			if !r.Stopped {
				f.Next = fmt.Sprintf("authsync destinations resume %s %s", r.Project, r.Name)
			}
		case r.FailingSince != nil:
			f.What += "fails since " + moment(*r.FailingSince)
			f.Warning = r.FailingSince.After(c.Now().Add(-failingFor)) // it may be temporary
		case r.Waiting > 0 && r.Oldest != nil && r.Oldest.Before(c.Now().Add(-lateFor)):
			f.What += fmt.Sprintf("is late: %d deliveries wait, the oldest since %s", r.Waiting, moment(*r.Oldest))
			if r.WaitReason != "" {
				f.What += ": " + r.WaitReason
			}
		default:
			f.Warning = true
			f.What += "has a notice: " + r.Reason
			f.Next = fmt.Sprintf("see to it; authsync destinations resume %s %s takes the notice away", r.Project, r.Name)
		}
		return f
	}), nil
}
