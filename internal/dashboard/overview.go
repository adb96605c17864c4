package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/project"
)

// maxCounted bounds counts on the home page.
const maxCounted = 1000

// Each reads the projects of one page of the list, and what waits, failed or is configured, never the inbox as a whole.
const (
	selectOverviews = `
		SELECT l.project_id, l.pending_messages::bigint AS pending, extract(epoch FROM l.oldest_pending_age)::bigint AS oldest_pending,
			l.last_received_at, l.wait_reason,
			(SELECT count(*) FROM (
				SELECT
				FROM authsync.event_outcomes AS e
				WHERE e.outcome = 'failed' AND e.project_id = l.project_id
				LIMIT $2
			) AS f) AS failed,
			(SELECT count(*) FROM authsync.integrations AS i WHERE i.project_id = l.project_id) AS integrations
		FROM authsync.project_lag AS l
		WHERE l.project_id = ANY ($1)`

	// A message of which one event is deferred is overdue, too, and does not count as pending.
	selectOverdue = `
		SELECT p.id AS project_id, m.messages, m.oldest
		FROM unnest($1::uuid[]) AS p (id)
		CROSS JOIN LATERAL (
			SELECT count(*) AS messages, extract(epoch FROM clock_timestamp() - min(o.received_at))::bigint AS oldest
			FROM (
				SELECT v.received_at FROM authsync.overdue_messages AS v WHERE v.project_id = p.id LIMIT $2
			) AS o
		) AS m
		WHERE m.messages > 0`

	selectRejectedLately = `
		SELECT r.project_id, r.provider, r.last_hour, r.last_detail AS detail
		FROM authsync.rejections AS r
		WHERE r.project_id = ANY ($1) AND r.last_hour > 0
		ORDER BY r.provider`

	selectDestinations = `
		SELECT d.project_id, d.id, d.name, d.state, d.state_by, d.state_reason, f.breaker_open_until,
			EXISTS (SELECT FROM authsync.deliveries AS o WHERE o.destination_id = d.id AND o.state = 'failed') AS failed,
			h.held, h.held_from + coalesce(d.holdback, interval '0') AS held_until
		FROM authsync.destinations AS d
		LEFT JOIN authsync.destination_progress AS f ON f.destination_id = d.id
		CROSS JOIN LATERAL (
			SELECT count(*) AS held, min(o.held_from) AS held_from
			FROM (
				SELECT o.held_from
				FROM authsync.deliveries AS o
				WHERE o.destination_id = d.id AND o.state = 'held' AND o.held_from IS NOT NULL
				ORDER BY o.held_from
				LIMIT $2
			) AS o
		) AS h
		WHERE d.project_id = ANY ($1)
		ORDER BY d.name`

	selectTroubledRuns = `
		SELECT i.project_id, i.provider, b.kind, coalesce(b.error, '') AS why
		FROM authsync.integrations AS i
		CROSS JOIN LATERAL (
			SELECT s.kind, s.state, s.error
			FROM authsync.sync_runs AS s
			WHERE s.project_id = i.project_id AND s.provider = i.provider
			ORDER BY s.started_at DESC
			LIMIT 1
		) AS b
		WHERE i.project_id = ANY ($1) AND b.state = 'failed'
		ORDER BY i.provider`
)

// overview is the state of a project in short.
type overview struct {
	ProjectID      uuid.UUID
	Pending        int64
	OldestPending  *int64 // seconds
	LastReceivedAt *time.Time
	WaitReason     *string
	Failed         int64 // up to maxCounted
	Integrations   int64

	Overdue      *overdue              `db:"-"` // nil: none
	Rejected     []rejectedLately      `db:"-"`
	Destinations []destinationOverview `db:"-"`
	Runs         []troubledRun         `db:"-"`
	Counts       []usage.Count         `db:"-"` // of messages, in any order
	Problems     int                   `db:"-"`
}

// FailedText is the number of failed events, as far as they were counted.
func (o overview) FailedText() string { return counted(o.Failed, "event") }

// counted is a number in words, as far as things were counted.
func counted(n int64, one string) string {
	if n >= maxCounted {
		return fmt.Sprintf("%d or more %s", maxCounted, plural.Noun(maxCounted, one))
	}
	return plural.Of(n, one)
}

// overdue is how many messages have had no outcome for too long, up to maxCounted, and for how long the oldest of these.
type overdue struct {
	ProjectID uuid.UUID
	Messages  int64
	Oldest    int64 // seconds
}

type rejectedLately struct {
	ProjectID uuid.UUID
	Provider  string
	LastHour  int64
	Detail    string
}

type destinationOverview struct {
	ProjectID        uuid.UUID
	ID               uuid.UUID
	Name             string
	State            string
	StateBy          string
	StateReason      *string
	BreakerOpenUntil *time.Time
	Failed           bool
	Held             int64 // up to maxCounted
	HeldUntil        *time.Time
}

// Health is its state in a word, as on its own page: one whose requests keep failing is not just active.
func (d destinationOverview) Health() string {
	if d.State == project.Active && d.BreakerOpenUntil != nil {
		return "failing"
	}
	return d.State
}

type troubledRun struct {
	ProjectID uuid.UUID
	Provider  string
	Kind      string
	Why       string
}

// batcher is a pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// readOverviews reads the overviews of projects, in one round trip and one transaction. The caller has found that they may be
// seen.
func readOverviews(ctx context.Context, db batcher, ids []uuid.UUID, now time.Time) (map[uuid.UUID]*overview, error) {
	all := make(map[uuid.UUID]*overview, len(ids))
	for _, id := range ids {
		all[id] = &overview{ProjectID: id}
	}
	b := &pgx.Batch{}
	b.Queue(pgdb.FromIndexes)
	b.Queue(pgdb.InOrder)
	queue(b, func(o overview) { all[o.ProjectID] = &o }, selectOverviews, ids, maxCounted)
	queue(b, func(l overdue) { all[l.ProjectID].Overdue = &l }, selectOverdue, ids, maxCounted)
	queue(b, func(r rejectedLately) { o := all[r.ProjectID]; o.Rejected = append(o.Rejected, r) }, selectRejectedLately, ids)
	queue(b, func(d destinationOverview) { o := all[d.ProjectID]; o.Destinations = append(o.Destinations, d) }, selectDestinations, ids, maxCounted)
	queue(b, func(r troubledRun) { o := all[r.ProjectID]; o.Runs = append(o.Runs, r) }, selectTroubledRuns, ids)
	queue(b, func(c usage.Count) { o := all[c.ProjectID]; o.Counts = append(o.Counts, c) }, usage.SelectCounts, ids, usage.Since(now))
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read the overview: %w", err)
	}
	return all, nil
}

// queue adds a statement to a batch, and takes its rows.
func queue[T any](b *pgx.Batch, take func(T), query string, args ...any) {
	b.Queue(query, args...).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
		for _, one := range list {
			take(one)
		}
		return err
	})
}
