package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	filledDays         = 30
	filledDestinations = 5
	// recordChanges is how many changes the history of the first user has.
	recordChanges = 1000
	// fillAtOnce is how many rows a statement inserts, so that a run that is stopped soon ends.
	fillAtOnce = 50_000
	fillers    = 2 // at the same time
)

// Failures lie in the first third of a project's history, and what is rare is some thousand rows, whatever the size of the
// table: to find these is what a list with a filter has to be able to do.
const (
	fillInbox = `
		INSERT INTO authsync.inbox (id, project_id, provider, message_id, received_at, headers, body)
		OVERRIDING SYSTEM VALUE
		SELECT n, $1, (ARRAY['clerk', 'clerk', 'clerk', 'auth0', 'better_auth'])[1 + n % 5], 'msg_' || n, $2::timestamptz + n * $3::interval, '{}',
			convert_to(format('{"type": "user.updated", "data": {"id": "user_%s"}}', 1 + n * 7919 % $4::bigint), 'UTF8')
		FROM generate_series($5::bigint, $6::bigint) AS n`

	fillOutcomes = `
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id,
			event_time, outcome, reason, applied_at)
		SELECT n, 0, r.at, $1, 'evt_' || n,
			CASE WHEN n % $7::bigint = 11 AND n < $8::bigint / 3 THEN 'user.deleted' WHEN n % 10 = 3 THEN 'session.created' ELSE 'user.updated' END,
			'user_' || 1 + n * 7919 % $4::bigint, CASE WHEN n % 10 = 3 THEN 'session' END, CASE WHEN n % 10 = 3 THEN 'sess_' || n END,
			r.at, o.outcome, CASE WHEN o.outcome IN ('failed', 'ignored') THEN 'the reason of this outcome' END,
			CASE WHEN o.outcome NOT IN ('failed', 'pending') THEN r.at END
		FROM generate_series($5::bigint, least($6::bigint, $8::bigint - 20)) AS n
		CROSS JOIN LATERAL (SELECT $2::timestamptz + n * $3::interval AS at) AS r
		CROSS JOIN LATERAL (SELECT CASE
			WHEN n % $7::bigint = 7 AND n < $8::bigint / 3 THEN 'failed'
			WHEN n % $7::bigint = 8 AND n < $8::bigint / 3 THEN 'duplicate'
			WHEN n % 50 = 0 THEN 'stale'
			WHEN n % 50 = 1 THEN 'ignored'
			WHEN n > $8::bigint - 30 THEN 'pending'
			ELSE 'applied'
		END AS outcome) AS o`

	fillPending = `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT i.project_id, array_agg(i.id ORDER BY i.id), sum(length(i.body)), min(i.received_at), max(i.received_at)
		FROM authsync.inbox AS i
		WHERE i.project_id = $1 AND i.id > $2::bigint - 20
		GROUP BY i.project_id, i.id / 5`

	fillUsage = `
		INSERT INTO authsync.inbox_usage (project_id, day, message_count, byte_count)
		SELECT $1, current_date - n, $2::bigint, $2::bigint * 600 FROM generate_series(0, 29) AS n`

	fillCounts = `
		INSERT INTO authsync.message_counts (project_id, slot, began_at, message_count)
		SELECT p.id, extract(epoch FROM b.began_at)::bigint / 900 % 96, b.began_at, 1 + n
		FROM authsync.projects AS p, generate_series(0, 95) AS n
		CROSS JOIN LATERAL (SELECT date_bin('15 minutes', now(), '2000-01-01Z') - n * interval '15 minutes' AS began_at) AS b`

	fillDeliveries = `
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
			event_id, state, reason, attempts, next_attempt_at, last_attempt_at, created_at, finished_at)
		SELECT $1, ($2::uuid[])[1 + n % 5], 1 + n / 5, 'user', u.id, u.id, 'user:' || u.id, 'user.updated', '{email}', r.at,
			'evt_' || n, s.state, CASE WHEN s.state IN ('failed', 'retrying') THEN 'the destination answered 500' END, 1,
			CASE WHEN s.state = 'retrying' THEN now() + interval '1 hour' END, r.at,
			r.at, CASE WHEN s.state NOT IN ('blocked', 'ready', 'retrying') THEN r.at + interval '1 second' END
		FROM generate_series($6::bigint, $7::bigint) AS n
		CROSS JOIN LATERAL (SELECT $3::timestamptz + n * $4::interval AS at) AS r
		CROSS JOIN LATERAL (SELECT CASE
			WHEN n > $9::bigint - $9::bigint / 200 THEN CASE WHEN n % 4 = 0 THEN 'blocked' ELSE 'ready' END
			WHEN n < $9::bigint / 3 AND n % $8::bigint = 3 THEN 'failed'
			WHEN n < $9::bigint / 3 AND n % $8::bigint = 4 THEN 'retrying'
			WHEN n < $9::bigint / 3 AND n % $8::bigint = 5 THEN 'cancelled'
			WHEN n < $9::bigint / 3 AND n % $8::bigint = 6 THEN 'coalesced'
			ELSE 'delivered'
		END AS state) AS s
		CROSS JOIN LATERAL (
			SELECT CASE WHEN s.state IN ('blocked', 'ready', 'retrying') THEN 'busy_' || n ELSE 'user_' || 1 + n / 5 % $5::bigint END AS id
		) AS u`

	fillUsers = `
		INSERT INTO capydb_auth.users (id, email, first_name, last_name, created_at, updated_at, raw, provider, last_event_processed, last_event_id)
		SELECT 'user_' || n, 'person' || n || '@example.com', 'Ada', 'Lovelace', now() - interval '1 year', now(),
			jsonb_build_object('id', 'user_' || n, 'email', 'person' || n || '@example.com'), 'clerk', now(), 'evt_' || n
		FROM generate_series($1::bigint, $2::bigint) AS n`

	fillMemberships = `
		INSERT INTO capydb_auth.memberships (organization_id, user_id, role, created_at, provider, last_event_processed)
		SELECT 'org_' || n % 100, 'user_' || n, 'member', now(), 'clerk', now() FROM generate_series($1::bigint, $2::bigint) AS n`

	fillSessions = `
		INSERT INTO capydb_auth.sessions (id, user_id, status, created_at, provider, last_event_processed)
		SELECT 'sess_' || n, 'user_' || n, 'active', now(), 'clerk', now() FROM generate_series($1::bigint, $2::bigint) AS n`

	fillInvitations = `
		INSERT INTO capydb_auth.invitations (id, organization_id, email, role, status, created_at, provider, last_event_processed)
		SELECT 'inv_' || n, 'org_' || n % 100, 'new' || n || '@example.com', 'member', 'pending', now(), 'clerk', now()
		FROM generate_series($1::bigint, $2::bigint) AS n`

	fillOrganizations = `
		INSERT INTO capydb_auth.organizations (id, name, slug, created_at, provider, last_event_processed)
		SELECT 'org_' || n, 'Organization ' || n, 'organization-' || n, now(), 'clerk', now() FROM generate_series($1::bigint, $2::bigint) AS n`

	// The first user has changed often, some others once.
	fillChanges = `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, provider, event_id, event_at)
		SELECT 'user', 'user_' || greatest(1, n - $3::bigint), 'updated', '{first_name}', '{"first_name": "Ada"}',
			jsonb_build_object('id', 'user_' || greatest(1, n - $3::bigint), 'email', 'person@example.com', 'first_name', 'Grace ' || n),
			'clerk', 'evt_' || n, now()
		FROM generate_series($1::bigint, $2::bigint) AS n`

	// Small projects come with an integration, a destination, a failed run, some messages and some rejected requests.
	fillProjects = `
		WITH p AS (
			INSERT INTO authsync.projects (name, database_url_sealed) SELECT 'small-' || n, '' FROM generate_series(1, $1::int) AS n RETURNING id
		), i AS (
			INSERT INTO authsync.integrations (project_id, provider, credentials_sealed) SELECT p.id, 'clerk', '' FROM p
		), d AS (
			INSERT INTO authsync.destinations (project_id, name, type, options, secrets_sealed)
			SELECT p.id, 'crm', 'webhook', '{"url": "https://example.com/"}', '' FROM p RETURNING id
		), f AS (
			INSERT INTO authsync.destination_progress (destination_id, cursor) SELECT d.id, 0 FROM d
		), r AS (
			INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, started_at, finished_at)
			SELECT p.id, 'clerk', 'backfill', 'failed', 'the key was refused', now(), now() FROM p, generate_series(1, 3)
		), m AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT p.id, 'clerk', now() - n * interval '1 day', '{}', '{}' FROM p, generate_series(0, 19) AS n
			RETURNING id, received_at, project_id
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
		SELECT m.id, 0, m.received_at, m.project_id, 'small_' || m.id, 'user.updated', 'user_1', 'applied', m.received_at FROM m`

	// Of the actions one in a hundred is rare.
	fillAudit = `
		INSERT INTO authsync.audit_log (occurred_at, actor, key_id, key_name, key_role, via, action, project_id, project_name, object_id, remote_address, user_agent,
			request_id, outcome, status, changes, finished_at)
		SELECT r.at, 'key', ('00000000-0000-0000-0000-0000000000' || lpad((n % 20)::text, 2, '0'))::uuid, 'key ' || n % 20, 'admin', 'api',
			CASE WHEN n % 100 = 1 THEN 'project.delete' WHEN n % 2 = 0 THEN 'destination.pause' ELSE 'event.replay' END,
			$1, 'shop', 'object-' || n, '192.0.2.7', 'curl/8.0', 'request-' || n, CASE WHEN n % 100 = 3 THEN 'refused' ELSE 'succeeded' END, 200,
			'{"reason": "hmac-sha256:5d0c0f3e:0123456789abcdef"}', r.at
		FROM generate_series($4::bigint, $5::bigint) AS n
		CROSS JOIN LATERAL (SELECT $2::timestamptz + n * $3::interval AS at) AS r`

	// Most problems are over; a few of each project are open.
	fillProblems = `
		INSERT INTO authsync.problems (kind, project_id, subject, severity, detail, next_step, opened_at, last_seen_at, closed_at)
		SELECT 'silence', p.id, 'clerk ' || n, 'warning', 'nothing has come from Clerk for a day', 'see whether the webhook is disabled', now() - n * interval '1 hour',
			now(), CASE WHEN n > 3 THEN now() END
		FROM authsync.projects AS p, generate_series(1, 100) AS n`

	fillAttempts = `
		UPDATE authsync.deliveries AS d SET attempts = 10, attempt_log = (
			SELECT array_agg(jsonb_build_object('number', n, 'attempted_at', now(), 'outcome', 'retried', 'status', 500, 'duration_ms', 20,
				'reason', 'the destination answered 500', 'response', repeat('trouble ', 100)) ORDER BY n)
			FROM generate_series(1, 10) AS n)
		WHERE d.state IN ('failed', 'retrying')`

	fillPulls = `
		WITH i AS (
			UPDATE authsync.integrations SET options = options || '{"pull": true}' WHERE project_id = $1 AND provider = 'auth0' RETURNING project_id
		)
		INSERT INTO authsync.pulls (project_id, provider, since, messages, last_message_at, connected_since)
		SELECT i.project_id, 'auth0', now(), 1000000, now(), now() FROM i`

	fillRejected = `
		INSERT INTO authsync.rejected_requests (project_id, provider, received_at, status, reason, detail, body_bytes, header_names)
		SELECT i.project_id, i.provider, now() - n * interval '1 minute', 401, 'signature_mismatch', 'The signing secret is another one.', 100, '{}'
		FROM authsync.integrations AS i, generate_series(1, $1::int) AS n`
)

// auditKey is one of the keys of the audit log.
const auditKey = "00000000-0000-0000-0000-000000000007"

// rejectedEach is how many rejected requests an integration has; no more than that are kept.
const rejectedEach = 40

// filled is a control database with a large project, and the mirror of that.
type filled struct {
	*delivery

	big    *tenant
	mirror *pgxpool.Pool
	config Config
	// from is when the first message was received, and each other one comes some time later.
	from time.Time
	// destinations are those of the project, of which the first one is paused.
	destinations []uuid.UUID
	// retried is a delivery with many attempts.
	retried int64
}

// fillAll loads everything, at most fillers statements at a time.
func (f *filled) fillAll(ctx context.Context) error {
	if err := f.connectProviders(ctx); err != nil {
		return err
	}
	span := time.Since(f.from)
	inbox, deliveries, users := int64(f.config.Inbox), int64(f.config.Deliveries), int64(f.config.mirrored)
	rare := func(rows int64) int64 { return max(rows/12_000, 20) } // so that a third of them has some thousand
	// A number of the inbox is above those of the rows that are there already.
	steps := []struct {
		pool      *pgxpool.Pool
		statement string
		rows      int64
		args      []any // those before and behind the numbers of the rows; nil stands for these
	}{
		{f.control, fillInbox, inbox, []any{f.big.ID, f.from, span / time.Duration(inbox+1), users, nil}},
		{f.control, fillOutcomes, inbox, []any{f.big.ID, f.from, span / time.Duration(inbox+1), users, nil, rare(inbox), inbox}},
		{f.control, fillDeliveries, deliveries, []any{
			f.big.ID, f.destinations, f.from, span / time.Duration(deliveries+1), users, nil, rare(deliveries), deliveries,
		}},
		{f.control, fillAudit, max(inbox/100, 100), []any{f.big.ID, f.from, span / time.Duration(max(inbox/100, 100)+1), nil}},
		{f.mirror, fillUsers, users, []any{nil}},
		{f.mirror, fillOrganizations, max(users/1000, 1), []any{nil}},
		{f.mirror, fillMemberships, max(users/10, 1), []any{nil}},
		{f.mirror, fillSessions, max(users/10, 1), []any{nil}},
		{f.mirror, fillInvitations, max(users/100, 1), []any{nil}},
		{f.mirror, fillChanges, recordChanges + users/4, []any{nil, int64(recordChanges)}},
	}
	for _, s := range steps {
		if err := fillRows(ctx, s.pool, s.statement, s.rows, s.args); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`SELECT setval(pg_get_serial_sequence('authsync.inbox', 'id'), $1)`, []any{inbox}},
		{fillPending, []any{f.big.ID, inbox}},
		{fillUsage, []any{f.big.ID, inbox / filledDays}},
		{fillProjects, []any{f.config.Projects}},
		{fillRejected, []any{rejectedEach}},
		{fillCounts, nil},
		{fillProblems, nil},
		{fillAttempts, nil},
		{fillPulls, []any{f.big.ID}},
	} {
		if _, err := f.control.Exec(ctx, s.statement, s.args...); err != nil {
			return fmt.Errorf("fill the control database: %w", err)
		}
	}
	const selectRetried = `SELECT min(d.id) FROM authsync.deliveries AS d WHERE d.state = 'retrying'`
	if err := f.control.QueryRow(ctx, selectRetried).Scan(&f.retried); err != nil {
		return fmt.Errorf("find a delivery that was retried: %w", err)
	}
	return nil
}

// connectProviders completes the three providers of the large project.
func (f *filled) connectProviders(ctx context.Context) error {
	_, err := f.control.Exec(ctx, `
		INSERT INTO authsync.integrations (project_id, provider, credentials_sealed)
		SELECT $1, p, ''::bytea FROM unnest(ARRAY['clerk', 'better_auth']) AS p`, f.big.ID)
	if err == nil {
		_, err = f.control.Exec(ctx, `SELECT authsync.make_inbox_partitions($1::date, $2)`, f.from, filledDays+2)
	}
	if err != nil {
		return fmt.Errorf("prepare the large project: %w", err)
	}
	return nil
}

// fillRows runs a statement for parts of the rows, which are numbered from 1.
func fillRows(ctx context.Context, pool *pgxpool.Pool, statement string, rows int64, args []any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan int64)
	ended := make(chan error, fillers)
	for range fillers {
		go func() {
			var err error
			for first := range parts {
				if err != nil {
					continue
				}
				var given []any
				for _, arg := range args {
					if arg == nil {
						given = append(given, first, min(first+fillAtOnce-1, rows))
						continue
					}
					given = append(given, arg)
				}
				if _, err = pool.Exec(ctx, statement, given...); err != nil {
					cancel() // the others end, too
				}
			}
			ended <- err
		}()
	}
	for first := int64(1); first <= rows; first += fillAtOnce {
		parts <- first
	}
	close(parts)
	var errs []error
	for range fillers {
		errs = append(errs, <-ended)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("fill the databases: %w", err)
	}
	return nil
}

// withoutStatistics keeps PostgreSQL from taking statistics by itself, so that the first measurement is of tables that have none.
func (f *filled) withoutStatistics(ctx context.Context) error {
	for _, statement := range []string{`ALTER SYSTEM SET autovacuum = off`, `SELECT pg_reload_conf()`} {
		if _, err := f.control.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("keep PostgreSQL from taking statistics: %w", err)
		}
	}
	return nil
}

// analyze takes statistics of both databases.
func (f *filled) analyze(ctx context.Context) error {
	for _, pool := range []*pgxpool.Pool{f.control, f.mirror} {
		if _, err := pool.Exec(ctx, `ANALYZE`); err != nil {
			return fmt.Errorf("take statistics: %w", err)
		}
	}
	return nil
}
