package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/pgdb"
)

// Integrations with a newer message than is known. Of the days since the known one the newest message is looked up by
// the index, and the first one after it, so that the pause between the two is exact.
const selectActive = `
	SELECT i.project_id, i.provider, a.first_message_at, a.last_message_at, a.learned_at, a.usual_gaps,
	       newest.id AS newest_id, newest.received_at AS newest_at, coalesce(next.received_at, newest.received_at) AS next_at
	FROM authsync.integrations AS i
	LEFT JOIN authsync.integration_activity AS a ON a.project_id = i.project_id AND a.provider = i.provider
	CROSS JOIN LATERAL (
		SELECT m.id, m.received_at
		FROM authsync.inbox AS m
		WHERE m.project_id = i.project_id AND m.provider = i.provider
		  AND m.received_at >= date_trunc('day', coalesce(a.last_message_at, i.created_at) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
		ORDER BY m.id DESC
		LIMIT 1
	) AS newest
	LEFT JOIN LATERAL (
		SELECT m.received_at
		FROM authsync.inbox AS m
		WHERE m.project_id = i.project_id AND m.provider = i.provider AND m.id > a.last_inbox_id
		  AND m.received_at >= date_trunc('day', a.last_message_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
		ORDER BY m.id
		LIMIT 1
	) AS next ON true
	WHERE a.last_inbox_id IS NULL
	   OR (newest.id > a.last_inbox_id AND a.last_message_at <= $1::timestamptz - $2::interval)`

type activity struct {
	ProjectID      uuid.UUID
	Provider       string
	FirstMessageAt *time.Time
	LastMessageAt  *time.Time
	LearnedAt      *time.Time
	UsualGaps      []float32
	NewestID       int64
	NewestAt       time.Time
	NextAt         time.Time // of the first message after LastMessageAt
}

const (
	upsertActivity = `
		INSERT INTO authsync.integration_activity AS a
			(project_id, provider, first_message_at, last_message_at, last_inbox_id, usual_gaps, learned_at, silent_at)
		SELECT i.project_id, i.provider, $3, $4, $5, $6, $7, $8
		FROM authsync.integrations AS i
		WHERE i.project_id = $1 AND i.provider = $2
		ON CONFLICT (project_id, provider) DO UPDATE
		SET last_message_at = excluded.last_message_at, last_inbox_id = excluded.last_inbox_id, usual_gaps = excluded.usual_gaps,
		    learned_at = excluded.learned_at, silent_at = excluded.silent_at
		WHERE a.last_inbox_id < excluded.last_inbox_id`

	// The option has the form of reconcile.every, which PostgreSQL reads as well.
	selectSilent = `
		SELECT a.project_id, p.name, a.provider, a.last_message_at, s.after IS NOT NULL
		FROM authsync.integration_activity AS a
		JOIN authsync.integrations AS i ON i.project_id = a.project_id AND i.provider = a.provider
		JOIN authsync.projects AS p ON p.id = a.project_id
		CROSS JOIN LATERAL (SELECT i.options #>> '{silence,after}' AS after) AS s
		WHERE s.after IS DISTINCT FROM 'never'
		  AND coalesce(a.last_message_at + s.after::interval, a.silent_at) < $1
		  AND $2::timestamptz < $1
		ORDER BY p.name, a.provider`
)

// silence learns the pauses of all integrations and finds those that have sent nothing for too long. The subject
// is the provider. After a pause of the whole server providers get the time of the floor to send again.
func silence(ctx context.Context, l *Look) ([]Finding, error) {
	active, err := pgdb.Collect[activity](ctx, l.Pool, selectActive, pgdb.Planned, l.Now, minGap)
	if err != nil {
		return nil, fmt.Errorf("read what was received: %w", err)
	}
	for i := range active {
		if err := active[i].learn(ctx, l); err != nil {
			return nil, fmt.Errorf("learn the pauses of %s of project %s: %w", active[i].Provider, active[i].ProjectID, err)
		}
	}
	type row struct {
		ProjectID         uuid.UUID
		Project, Provider string
		Last              time.Time
		IsSet             bool
	}
	found, err := collect[row](ctx, l, selectSilent, l.Now, l.resumed.Add(silenceFloor))
	return each(found, func(r row) Finding {
		f := Finding{
			Kind: Silence, ProjectID: &r.ProjectID, Subject: r.Provider,
			Detail: fmt.Sprintf("nothing has come from %s for project %s since %s, which is longer than usual at this hour of the week", r.Provider, r.Project, Moment(r.Last)),
			Next: fmt.Sprintf("see whether the webhook is still there and enabled at the provider, and authsync events rejected %s; if the pause is right: "+
				"authsync integrations set %s %s --option silence.after=24h, or never", r.Project, r.Project, r.Provider),
		}
		if r.IsSet {
			f.Detail = fmt.Sprintf("nothing has come from %s for project %s since %s, which is longer than its option silence.after allows", r.Provider, r.Project, Moment(r.Last))
		}
		return f
	}), err
}

// learned returns what is known with the pause before the next message, and when a pause after the newest becomes a silence; nil: too
// little is known. Pauses between further messages that came since the last evaluation are shorter than the floor, unless nobody
// evaluated.
func (a *activity) learned(now time.Time) (r rhythm, first time.Time, silentAt *time.Time) {
	first = a.NewestAt
	if a.FirstMessageAt != nil {
		first = *a.FirstMessageAt
		copy(r[:], a.UsualGaps)
		r.fade(*a.LearnedAt, now)
		r.learn(*a.LastMessageAt, a.NextAt, a.NextAt.Sub(first) >= learnFor)
	}
	if a.NewestAt.Sub(first) >= learnFor {
		at := r.silentAt(a.NewestAt)
		silentAt = &at
	}
	return r, first, silentAt
}

func (a *activity) learn(ctx context.Context, l *Look) error {
	r, first, silentAt := a.learned(l.Now)
	_, err := l.Pool.Exec(ctx, upsertActivity, a.ProjectID, a.Provider, first, a.NewestAt, a.NewestID, r[:], l.Now, silentAt)
	return err
}
