package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/pgdb"
)

// NewJobs returns a River client that inserts jobs and works none.
func NewJobs(log *slog.Logger) (*river.Client[pgx.Tx], error) {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{
		Schema: RiverSchema,
		Logger: log,
		// River notifies the workers at most once per cooldown; a job inserted within it would wait
		// for the next poll.
		FetchCooldown: river.FetchCooldownMin,
	})
	if err != nil {
		return nil, fmt.Errorf("make the client that inserts jobs: %w", err)
	}
	return client, nil
}

// flush stores the messages of several callers in one commit.
func (in *Inbox) flush(ctx context.Context, messages []Message, results []batch.Result[int64]) error {
	begun := time.Now()
	ids, err := in.store(ctx, messages)
	if pgdb.Retryable(err) || dayWasMade(err) {
		ids, err = in.store(ctx, messages)
	}
	took := time.Since(begun)
	in.metrics.commit(len(messages), took, err)
	if err == nil {
		in.noteSuccess(ctx)
		for i, id := range ids {
			results[i].Value = id
		}
		return nil
	}
	if !refused(err) {
		in.noteFailure(ctx, len(messages), took, err)
		return err
	}
	in.config.Log.ErrorContext(ctx, "inbox_commit_refused",
		slog.Int("messages", len(messages)), slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
	if len(messages) == 1 {
		return err
	}
	// PostgreSQL rejected the data of some message. Nothing that passes Append should cause that,
	// but if it does, the others must not fail.
	for i := range messages {
		var id []int64
		if id, results[i].Err = in.store(ctx, messages[i:i+1]); results[i].Err == nil {
			results[i].Value = id[0]
		}
	}
	return nil
}

// wakeWorkers notifies the workers of new jobs, without waiting. A notification in progress may
// have come too early, so one more may be queued behind it, which serves everyone who calls in the
// meantime.
//
// The notification is not part of the commit: PostgreSQL serializes the commits of transactions
// that notify, including their disk sync. If it is lost, the workers find the jobs at their next
// poll, within half a second.
func (in *Inbox) wakeWorkers(ctx context.Context) {
	if n, _ := in.wake.Waiting(); n > 0 {
		return
	}
	go func() { _, _ = in.wake.Do(context.WithoutCancel(ctx), struct{}{}) }() // ErrFull: another one is queued
}

// notifyWorkers does what River's own client does after an insert: it notifies River's channel with
// the queue's name as payload.
func (in *Inbox) notifyWorkers(ctx context.Context, _ []struct{}, _ []batch.Result[struct{}]) error {
	ctx, cancel := context.WithTimeout(ctx, in.config.CommitTimeout)
	defer cancel()
	_, err := in.pool.Exec(ctx, `SELECT pg_notify('authsync.river_insert', '{"queue": "default"}')`)
	if err != nil {
		in.config.Log.DebugContext(ctx, "workers_not_woken", slog.Any("error", err))
	}
	return nil
}

// dayWasMade reports whether the messages were going into the default partition when their day's
// partition was created: PostgreSQL then rejects them with a check violation that names no
// constraint.
func dayWasMade(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23514" && e.ConstraintName == "" && strings.HasPrefix(e.TableName, "inbox_")
}

// refused reports whether the error is about the data rather than the server: class 22 (data
// exception), 23 (constraint) or 54 (program limit).
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"22", "23", "54"}, e.Code[:2])
}

// storeMessages inserts messages, marks them pending and requests each project's job in one
// statement, and so in one transaction and one round trip.
//
// ids increase in the order of the arrays, because defaults are evaluated after the sort.
const storeMessages = `
WITH stored AS (
    INSERT INTO authsync.inbox AS i (project_id, provider, message_id, verified_by, received_at, headers, body, excluded)
    SELECT d.project_id, d.provider, nullif(d.message_id, ''), nullif(d.verified_by, ''), d.received_at, d.headers::jsonb, d.body,
        nullif(d.excluded, '')::jsonb
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::bytea[], $8::text[])
        WITH ORDINALITY AS d (project_id, provider, message_id, verified_by, received_at, headers, body, excluded, place)
    ORDER BY d.place
    RETURNING i.id, i.project_id, i.received_at, octet_length(i.body) AS bytes
), pending AS (
    INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
    SELECT s.project_id, array_agg(s.id ORDER BY s.id), sum(s.bytes), min(s.received_at), max(s.received_at)
    FROM stored AS s
    GROUP BY s.project_id
), requested AS (
    SELECT authsync.request_job('apply_inbox', p.project_id::text, jsonb_build_object('project_id', p.project_id), false) AS made
    FROM (SELECT DISTINCT s.project_id FROM stored AS s ORDER BY s.project_id) AS p
)
SELECT s.id, (SELECT coalesce(bool_or(r.made), false) FROM requested AS r) AS made FROM stored AS s ORDER BY s.id`

// store inserts messages and what is needed to apply them, and returns their ids once the commit is
// known: the rows end only with the server's ReadyForQuery, which follows the commit. If it
// inserted a job, it wakes the workers.
func (in *Inbox) store(ctx context.Context, messages []Message) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, in.config.CommitTimeout)
	defer cancel()
	ids, made, err := insertMessages(ctx, in.pool, messages)
	if err == nil && made {
		in.wakeWorkers(ctx)
	}
	return ids, err
}

// insertMessages inserts messages and what is needed to apply them; made reports that a job is new.
func insertMessages(ctx context.Context, db querier, messages []Message) (ids []int64, made bool, err error) {
	n := len(messages)
	projects, providers, names, proofs := make([][16]byte, n), make([]string, n), make([]string, n), make([]string, n)
	times, headers, bodies, excluded := make([]time.Time, n), make([]string, n), make([][]byte, n), make([]string, n)
	for i, d := range messages {
		projects[i], providers[i], names[i], proofs[i] = d.ProjectID, d.Provider, d.MessageID, d.VerifiedBy
		times[i], headers[i], bodies[i] = d.ReceivedAt, headersJSON(d.Headers), d.Body
		if d.Body == nil {
			bodies[i] = []byte{} // an empty body is not NULL
		}
		if len(d.Excluded) > 0 {
			names, err := json.Marshal(d.Excluded)
			if err != nil {
				return nil, false, fmt.Errorf("write the excluded fields: %w", err)
			}
			excluded[i] = string(names)
		}
	}
	rows, err := db.Query(ctx, storeMessages, projects, providers, names, proofs, times, headers, bodies, excluded)
	if err != nil {
		return nil, false, fmt.Errorf("insert messages: %w", err)
	}
	ids = make([]int64, 0, n)
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &made}, func() error { ids = append(ids, id); return nil }); err != nil {
		return nil, false, fmt.Errorf("insert messages: %w", err)
	}
	return ids, made, nil
}
