package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/pgdb"
)

// NewJobs makes the River client that inserts jobs and works none.
func NewJobs(log *slog.Logger) (*river.Client[pgx.Tx], error) {
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{
		Schema: RiverSchema,
		Logger: log,
		// River wakes the workers at most once in this time; a job that comes
		// within it would wait for their next look.
		FetchCooldown: river.FetchCooldownMin,
	})
	if err != nil {
		return nil, fmt.Errorf("make the client that inserts jobs: %w", err)
	}
	return client, nil
}

// flush stores the deliveries of several callers by one commit.
func (in *Inbox) flush(ctx context.Context, deliveries []Delivery, results []batch.Result[int64]) error {
	begun := time.Now()
	ids, err := in.store(ctx, deliveries)
	if pgdb.Retryable(err) || dayWasMade(err) {
		ids, err = in.store(ctx, deliveries)
	}
	in.metrics.commit(len(deliveries), time.Since(begun), err)
	if err == nil {
		for i, id := range ids {
			results[i].Value = id
		}
		return nil
	}
	in.config.Log.ErrorContext(ctx, "inbox_commit_failed",
		slog.Int("deliveries", len(deliveries)), slog.Duration("took", time.Since(begun)),
		slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
	if len(deliveries) == 1 || !refused(err) {
		return err
	}
	// PostgreSQL refused what some delivery says. Nothing that passes Append
	// should be able to do that; should it, the neighbours are not to suffer.
	for i := range deliveries {
		var id []int64
		if id, results[i].Err = in.store(ctx, deliveries[i:i+1]); results[i].Err == nil {
			results[i].Value = id[0]
		}
	}
	return nil
}

// dayWasMade reports whether the deliveries were on their way into the default
// partition when the partition of their day was made: PostgreSQL then says that
// the default one no longer takes them, by a check violation without a constraint.
func dayWasMade(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "23514" && e.ConstraintName == "" && e.TableName == "inbox_default"
}

// refused reports whether the error is about the data rather than the server:
// class 22 (data exception), 23 (constraint) or 54 (program limit).
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"22", "23", "54"}, e.Code[:2])
}

// ids grow in the order of the arrays, because defaults are evaluated after the sort.
const insertDeliveries = `
INSERT INTO authsync.inbox AS i (project_id, provider, delivery_id, received_at, headers, body)
SELECT d.project_id, d.provider, nullif(d.delivery_id, ''), d.received_at, d.headers::jsonb, d.body
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::bytea[])
    WITH ORDINALITY AS d (project_id, provider, delivery_id, received_at, headers, body, place)
ORDER BY d.place
RETURNING i.id`

// store inserts deliveries and their jobs in one transaction, and returns the
// deliveries' ids once its commit is known.
func (in *Inbox) store(ctx context.Context, deliveries []Delivery) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, in.config.CommitTimeout)
	defer cancel()
	n := len(deliveries)
	projects, providers, names := make([][16]byte, n), make([]string, n), make([]string, n)
	times, headers, bodies := make([]time.Time, n), make([]string, n), make([][]byte, n)
	for i, d := range deliveries {
		projects[i], providers[i], names[i] = d.ProjectID, d.Provider, d.DeliveryID
		times[i], headers[i], bodies[i] = d.ReceivedAt, headersJSON(d.Headers), d.Body
		if d.Body == nil {
			bodies[i] = []byte{} // an empty body is not NULL
		}
	}

	var ids []int64
	err := pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, insertDeliveries, projects, providers, names, times, headers, bodies)
		if err != nil {
			return fmt.Errorf("insert deliveries: %w", err)
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return fmt.Errorf("insert deliveries: %w", err)
		}
		slices.Sort(ids)
		_, err = in.insert(ctx, tx, jobsFor(deliveries, ids))
		return err
	})
	return ids, err
}

// jobsFor makes one job a project.
func jobsFor(deliveries []Delivery, ids []int64) []river.InsertManyParams {
	byProject := make(map[uuid.UUID]*ApplyDeliveriesArgs)
	var jobs []*ApplyDeliveriesArgs
	for i, d := range deliveries {
		job := byProject[d.ProjectID]
		if job == nil {
			job = &ApplyDeliveriesArgs{ProjectID: d.ProjectID, ReceivedFrom: d.ReceivedAt, ReceivedTo: d.ReceivedAt}
			byProject[d.ProjectID] = job
			jobs = append(jobs, job)
		}
		job.add(ids[i], d.ReceivedAt)
	}
	params := make([]river.InsertManyParams, len(jobs))
	for i, job := range jobs {
		params[i].Args = *job
	}
	return params
}

func (a *ApplyDeliveriesArgs) add(id int64, receivedAt time.Time) {
	a.InboxIDs = append(a.InboxIDs, id)
	if receivedAt.Before(a.ReceivedFrom) {
		a.ReceivedFrom = receivedAt
	}
	if receivedAt.After(a.ReceivedTo) {
		a.ReceivedTo = receivedAt
	}
}
