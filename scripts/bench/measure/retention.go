package measure

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

const (
	// retainedDays are the days that the messages are spread over: one to be dropped, one to be rewritten, one to be pruned.
	retainedDays = 3
	// retention is the server's default.
	retention = 30 * 24 * time.Hour
	// retentionSenders send all the time, a request every retentionEvery: some, and not all that the machine can take.
	retentionSenders = 16
	retentionEvery   = 2 * time.Millisecond
)

const (
	insertRetained = `
		INSERT INTO authsync.projects (name, database_url_sealed, keep_inbox)
		SELECT 'retained-' || n, '', CASE n WHEN 1 THEN 400 END FROM generate_series(1, $1::integer + 2) AS n`

	// Project 1 has a twentieth of all days but the first, project 2 of all days, the others share the rest.
	fillRetained = `
		WITH m AS (
			INSERT INTO authsync.inbox (project_id, provider, message_id, received_at, headers, body)
			SELECT p.ids[1 + CASE WHEN n % 20 = 0 AND n % 3 > 0 THEN 0 WHEN n % 20 = 1 THEN 1 ELSE 2 + n % (cardinality(p.ids) - 2) END],
				'auth0', 'msg_' || n, $1::timestamptz + (n % 3) * interval '1 day' + (n / 3 % 86400) * interval '1 second',
				'{"Content-Type": "application/json"}', convert_to(repeat(md5(n::text), 8), 'UTF8')
			FROM generate_series($2::bigint, $3::bigint) AS n
			CROSS JOIN (SELECT array_agg(o.id ORDER BY substr(o.name, 10)::integer) AS ids FROM authsync.projects AS o WHERE o.name LIKE 'retained-%') AS p
			RETURNING id, received_at, project_id
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, event_time, outcome, applied_at)
		SELECT m.id, 0, m.received_at, m.project_id, 'evt_' || m.id, 'user.updated', 'auth0|' || m.id % 1000000, m.received_at, 'applied', m.received_at FROM m`

	countRetained = `
		INSERT INTO authsync.inbox_usage (project_id, day, message_count, byte_count)
		SELECT i.project_id, (i.received_at AT TIME ZONE 'UTC')::date, count(*), count(*) * 800 FROM authsync.inbox AS i
		JOIN authsync.projects AS p ON p.id = i.project_id GROUP BY 1, 2`
)

// retaining measures how long it takes to forget messages, and what receiving feels of it.
func (e *environment) retaining(ctx context.Context, w io.Writer, c Config) error {
	fmt.Fprintf(w, "\nRetention: %d messages of %d days and %d projects; a webhook every %s meanwhile, time to the answer\n", c.Inbox, retainedDays, c.Projects+2, retentionEvery)
	if err := e.empty(ctx); err != nil {
		return err
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	first := today.AddDate(0, 0, -20)
	began := time.Now()
	if err := e.fillRetained(ctx, c, first); err != nil {
		return err
	}
	fmt.Fprintf(w, "  loaded in %s\n", time.Since(began).Round(time.Second/10))

	own, err := e.newReceiver(ctx)
	if err != nil {
		return err
	}
	defer own.close(ctx)
	address, stop, err := serve(ctx, own.handler)
	if err != nil {
		return err
	}
	defer stop()
	r := &retained{environment: e, address: address, duration: c.Duration, rows: [][]string{{"while", "took", "messages gone", "webhooks/s", "p50", "p99", "longest"}}}
	if r.template, err = e.newTemplate(e.path()); err != nil {
		return err
	}
	prune := func(now time.Time) func(context.Context) error {
		return inbox.Pruner{Pool: e.pool, Default: retention, Now: func() time.Time { return now }}.Prune
	}
	nothing := func(context.Context) error { return nil }
	// Each at the time at which it has one thing to do.
	for _, phase := range []struct {
		name, before string
		do           func(context.Context) error
	}{
		{"(warming up)", "", nothing},
		{"nothing is pruned", "", nothing},
		{"a day is dropped", "", prune(first.AddDate(0, 0, 31))},
		{"nothing is pruned again", "", nothing},
		{"a day is rewritten for one project that keeps it", "", prune(first.AddDate(0, 0, 32))},
		{
			"a project that keeps one day is pruned from a day of all",
			`UPDATE authsync.projects SET keep_inbox = 1 WHERE name = 'retained-2'`, prune(first.AddDate(0, 0, 32)),
		},
	} {
		if phase.before != "" {
			if _, err := e.pool.Exec(ctx, phase.before); err != nil {
				return err
			}
		}
		if err := r.measure(ctx, phase.name, phase.do); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	table(w, slices.Delete(r.rows, 1, 2))
	return nil
}

func (e *environment) fillRetained(ctx context.Context, c Config, first time.Time) error {
	if _, err := e.pool.Exec(ctx, `SELECT authsync.make_inbox_partitions($1::text::date, $2)`, first.Format(time.DateOnly), retainedDays); err != nil {
		return fmt.Errorf("make the days: %w", err)
	}
	if _, err := e.pool.Exec(ctx, insertRetained, c.Projects); err != nil {
		return fmt.Errorf("make the projects: %w", err)
	}
	if err := fillRows(ctx, e.pool, fillRetained, int64(c.Inbox), []any{first, nil}); err != nil {
		return fmt.Errorf("fill the inbox: %w", err)
	}
	for _, statement := range []string{countRetained, `VACUUM ANALYZE authsync.inbox, authsync.event_outcomes`, `CHECKPOINT`} {
		if _, err := e.pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare the inbox: %w", err)
		}
	}
	return nil
}

// retained is an inbox of several days, with a receiver.
type retained struct {
	*environment

	address  string
	template template
	duration time.Duration
	rows     [][]string
}

// measure sends webhooks all the while that something is done, and for the duration at least.
func (r *retained) measure(ctx context.Context, name string, do func(context.Context) error) error {
	const count = `SELECT count(*) FROM authsync.inbox AS i WHERE i.received_at < $1`
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var before, after int64
	if err := r.pool.QueryRow(ctx, count, today).Scan(&before); err != nil {
		return err
	}
	var took time.Duration
	ended := make(chan error, 1)
	go func() {
		began := time.Now()
		err := do(ctx)
		took = time.Since(began)
		ended <- err
	}()
	var all load
	for done := false; !done; {
		l, err := generate(ctx, r.address, r.template, plan{connections: retentionSenders, duration: r.duration, every: retentionEvery})
		if err != nil {
			return err
		}
		all.took += l.took
		all.accepted += l.accepted
		all.latencies = append(all.latencies, l.latencies...)
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			done = true
		default:
		}
	}
	all.sort()
	if err := r.pool.QueryRow(ctx, count, today).Scan(&after); err != nil {
		return err
	}
	r.rows = append(r.rows, []string{
		name, short(took), strconv.FormatInt(before-after, 10), fmt.Sprintf("%.0f", all.rate()),
		short(all.percentile(0.5)), short(all.percentile(0.99)), short(all.percentile(1)),
	})
	return nil
}
