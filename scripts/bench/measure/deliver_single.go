package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

// sendOneArgs are the arguments of the reference: one job a delivery.
type sendOneArgs struct {
	ID int64 `json:"id"`
}

// Kind names the job.
func (sendOneArgs) Kind() string { return "bench_send_one" }

const (
	singleTable = `
		CREATE TABLE bench_outgoing (
			id     bigint  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			body   bytea   NOT NULL,
			status integer,
			sent_at timestamptz
		)`
	singleRows = `INSERT INTO bench_outgoing (body) SELECT $1 FROM generate_series(1, $2::bigint)`
	singleJobs = `
		INSERT INTO authsync.river_job (kind, max_attempts, args)
		SELECT $1, 25, jsonb_build_object('id', o.id)
		FROM bench_outgoing AS o`
	singleBody = `SELECT o.body FROM bench_outgoing AS o WHERE o.id = $1`
	singleDone = `UPDATE bench_outgoing SET status = $2, sent_at = now() WHERE id = $1`
)

// sendOneWorker delivers as one would without anything else: read the message, send
// it, note the answer, leave the rest to River. There is no order, no selection, no signature.
type sendOneWorker struct {
	river.WorkerDefaults[sendOneArgs]

	pool   *pgxpool.Pool
	client *http.Client
	url    string
}

// Work sends a message.
func (w *sendOneWorker) Work(ctx context.Context, job *river.Job[sendOneArgs]) error {
	var body []byte
	if err := w.pool.QueryRow(ctx, singleBody, job.Args.ID).Scan(&body); err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return fmt.Errorf("send the message: %w", err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the sink answered %s", answer.Status)
	}
	if _, err := w.pool.Exec(ctx, singleDone, job.Args.ID, answer.StatusCode); err != nil {
		return fmt.Errorf("note the answer: %w", err)
	}
	return nil
}

// single measures the reference, in the control database of the other measurements, where no
// server of authsync is at work.
func (d *delivery) single(ctx context.Context, messages int) (l load, err error) {
	if err := d.empty(ctx); err != nil {
		return load{}, err
	}
	path := countPath + uuid.NewString()
	transport := &http.Transport{MaxIdleConnsPerHost: singleWorkers}
	defer transport.CloseIdleConnections()
	workers := river.NewWorkers()
	river.AddWorker(workers, &sendOneWorker{pool: d.pool, client: &http.Client{Transport: transport}, url: d.sink.url + path})
	for _, s := range []struct {
		sql  string
		args []any
	}{{singleTable, nil}, {singleRows, []any{make([]byte, singleSize), messages}}, {singleJobs, []any{sendOneArgs{}.Kind()}}} {
		if _, err := d.pool.Exec(ctx, s.sql, s.args...); err != nil {
			return load{}, fmt.Errorf("make the reference's messages: %w", err)
		}
	}
	jobs, err := river.NewClient(riverpgxv5.New(d.pool), &river.Config{
		Schema: inbox.RiverSchema, Logger: d.log, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: singleWorkers, FetchCooldown: 2 * time.Millisecond}},
	})
	if err != nil {
		return load{}, fmt.Errorf("make the reference's client: %w", err)
	}
	before, begun := d.cpuTime(), time.Now()
	if err := jobs.Start(ctx); err != nil {
		return load{}, fmt.Errorf("start the reference's workers: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, jobs.Stop(ctx))
	}()
	count := d.sink.count(path)
	if err := d.await(ctx, "the reference's messages did not arrive in time", func() (bool, error) {
		return count.Load() >= int64(messages), nil
	}); err != nil {
		return load{}, err
	}
	return load{took: time.Since(begun), cpu: d.cpuTime() - before, accepted: messages}, nil
}

const (
	singleWorkers = 100
	singleSize    = 3 << 10 // bytes of a message, as long as those of authsync
)
