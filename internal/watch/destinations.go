package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/plural"
)

const (
	// failingFor is when a failing destination is no longer considered temporary, overdueAfter when a
	// delivery is overdue.
	failingFor, overdueAfter = 10 * time.Minute, 30 * time.Minute
)

// selectTroubled lists the destinations that authsync stopped, those that a user stopped and that
// have waiting deliveries, those that have been failing or waiting for too long, and those with a
// notice.
const selectTroubled = `
	SELECT h.project_id, h.destination_id, h.project, h.name, h.state, coalesce(h.state_reason, ''), h.state_by = 'system', h.state_since, h.failing_since,
	       h.waiting + h.retrying, h.oldest_waiting_at, coalesce(h.wait_reason, '')
	FROM authsync.destination_health AS h
	WHERE (h.state <> 'active' AND (h.state_by = 'system' OR h.waiting + h.retrying > 0))
	   OR (h.state = 'active' AND h.failing_since IS NOT NULL)
	   OR (h.state = 'active' AND h.waiting > 0 AND h.oldest_waiting_at < $1)
	   OR (h.state = 'active' AND h.state_reason IS NOT NULL)
	ORDER BY h.project, h.name`

type destinationRow struct {
	ProjectID, ID                uuid.UUID
	Project, Name, State, Reason string
	Stopped                      bool // by authsync
	Since                        time.Time
	FailingSince                 *time.Time
	Waiting                      int64
	Oldest                       *time.Time
	WaitReason                   string
}

// Destinations finds those that do not get their deliveries. The subject is the id of the destination.
func Destinations(ctx context.Context, l *Look) ([]Finding, error) {
	found, err := collect[destinationRow](ctx, l, selectTroubled, l.Now.Add(-overdueAfter))
	if err != nil {
		return nil, err
	}
	return each(found, func(r destinationRow) Finding { return r.finding(l.Now) }), nil
}

func (r *destinationRow) finding(now time.Time) Finding {
	f := Finding{
		Kind: DestinationStopped, ProjectID: &r.ProjectID, Subject: r.ID.String(),
		Detail: fmt.Sprintf("%s of project %s ", r.Name, r.Project), Next: fmt.Sprintf("authsync destinations get %s %s", r.Project, r.Name),
	}
	switch {
	case r.State != "active":
		f.Detail += "is " + r.State
		if r.Reason != "" {
			f.Detail += ": " + r.Reason
		}
		if r.Waiting > 0 {
			f.Detail += fmt.Sprintf("; %s %s since %s", plural.Of(r.Waiting, "delivery"), plural.Word(r.Waiting, "waits", "wait"), Moment(r.Since))
		}
		if !r.Stopped {
			f.Next = fmt.Sprintf("authsync destinations resume %s %s", r.Project, r.Name)
		}
	case r.FailingSince != nil:
		f.Kind = DestinationFailing
		f.Detail += "fails since " + Moment(*r.FailingSince)
		if r.FailingSince.After(now.Add(-failingFor)) { // it may be temporary
			f.Severity, f.Minor = Warning, true
		}
	case r.Waiting > 0 && r.Oldest != nil && r.Oldest.Before(now.Add(-overdueAfter)):
		f.Kind = DestinationOverdue
		f.Detail += fmt.Sprintf("is late: %s %s, the oldest since %s", plural.Of(r.Waiting, "delivery"), plural.Word(r.Waiting, "waits", "wait"), Moment(*r.Oldest))
		if r.WaitReason != "" {
			f.Detail += ": " + r.WaitReason
		}
	default:
		f.Severity, f.Minor = Warning, true
		f.Detail += "has a notice: " + r.Reason
		f.Next = fmt.Sprintf("see to it; authsync destinations resume %s %s takes the notice away", r.Project, r.Name)
	}
	return f
}
