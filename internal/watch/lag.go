package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/plural"
)

// lateAfter is the age at which a pending message is overdue.
const lateAfter = 5 * time.Minute

// The view's clock is the database's.
const selectLagging = `
	SELECT l.project_id, l.project, l.pending_messages, l.oldest_pending_age + ($1::timestamptz - clock_timestamp()) AS oldest, l.wait_reason
	FROM authsync.project_lag AS l
	WHERE l.oldest_pending_age + ($1::timestamptz - clock_timestamp()) > $2::interval
	ORDER BY 4 DESC, l.project`

// LaggingProjects finds the projects with overdue messages.
func LaggingProjects(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID uuid.UUID
		Project   string
		Messages  int64
		Oldest    time.Duration
		Reason    *string
	}
	found, err := collect[row](ctx, l, selectLagging, l.Now, lateAfter)
	return each(found, func(r row) Finding {
		f := Finding{
			Kind: Lag, ProjectID: &r.ProjectID,
			Detail: fmt.Sprintf("%s of project %s %s to be applied, the oldest for %s", plural.Of(r.Messages, "message"), r.Project, plural.Word(r.Messages, "waits", "wait"), formatDuration(r.Oldest)),
			Next:   "authsync events list " + r.Project + " --outcome pending; see the log of the workers",
		}
		if r.Reason != nil {
			f.Detail += ": " + *r.Reason
			f.Next = "see to the reason; they are applied by themselves then"
		}
		return f
	}), err
}

const (
	// settledAfter is how old an event must be to count as failed: a younger one is still retried in quick succession.
	settledAfter = 10 * time.Minute
	// maxShare is the share of a day's events that may have failed.
	maxShare = 0.01
)

// Failed events are few, and counted up to 10,000 per project; the messages are counted already.
const selectFailedShares = `
	SELECT p.id, p.name, f.events, greatest(f.events, m.messages)
	FROM authsync.projects AS p
	CROSS JOIN LATERAL (
		SELECT count(*) AS events
		FROM (
			SELECT
			FROM authsync.event_outcomes AS o
			WHERE o.project_id = p.id AND o.outcome = 'failed' AND o.received_at > $1::timestamptz - interval '1 day' AND o.received_at < $1::timestamptz - $2::interval
			LIMIT 10000
		) AS o
	) AS f
	CROSS JOIN LATERAL (
		SELECT coalesce(sum(c.message_count), 0)::bigint AS messages
		FROM authsync.message_counts AS c
		WHERE c.project_id = p.id AND c.began_at > $1::timestamptz - interval '1 day'
	) AS m
	WHERE f.events > $3::double precision * greatest(f.events, m.messages)
	ORDER BY p.name`

// failedShares finds the projects of whose events of the last day too many failed.
func failedShares(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID     uuid.UUID
		Project       string
		Failed, Total int64
	}
	found, err := collect[row](ctx, l, selectFailedShares, l.Now, settledAfter, maxShare)
	return each(found, func(r row) Finding {
		return Finding{
			Kind: FailedShare, ProjectID: &r.ProjectID,
			Detail: fmt.Sprintf("%d of the %s of project %s within a day could not be applied", r.Failed, plural.Of(r.Total, "event"), r.Project),
			Next:   "authsync events list " + r.Project + " --outcome failed has the reasons; remove the cause, then: authsync events replay " + r.Project + " --outcome failed",
		}
	}), err
}

// Moment formats a time for people.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// formatDuration formats a duration for people, in its largest unit.
func formatDuration(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.of {
			return fmt.Sprintf("%d %s", d/unit.of, unit.name)
		}
	}
	return plural.Of(int64(d/time.Second), "second")
}
