package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/tenantdb"
)

// singleArgs are the arguments of the reference: one job an event.
type singleArgs struct {
	ProjectID  uuid.UUID `json:"project_id"`
	InboxID    int64     `json:"inbox_id"`
	ReceivedAt time.Time `json:"received_at"`
}

// Kind names the job.
func (singleArgs) Kind() string { return "bench_apply_one" }

// singleWorker works one event as one would without batches: read it, decode it,
// call the mirror's function, leave the job to River.
type singleWorker struct {
	river.WorkerDefaults[singleArgs]
	*applyBench

	mirrors chan *mirror.Mirrors // one a call at a time, or they would share calls
}

// Work applies one event.
func (w *singleWorker) Work(ctx context.Context, job *river.Job[singleArgs]) error {
	at := job.Args.ReceivedAt
	deliveries, err := w.receiver.inbox.Load(ctx, job.Args.ProjectID, []int64{job.Args.InboxID}, at, at)
	if err != nil {
		return err
	}
	m := <-w.mirrors
	defer func() { w.mirrors <- m }()
	for _, d := range deliveries {
		for _, e := range w.endpoint.Provider.Decode(d.Message, w.endpoint.Options) {
			event := mirror.Event{Event: e, Provider: d.Provider, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt}
			if _, err := m.Apply(ctx, job.Args.ProjectID, []mirror.Event{event}); err != nil {
				return err
			}
		}
	}
	return nil
}

// startSingle turns authsync's jobs into one an event and starts workers on them.
func (a *applyBench) startSingle(ctx context.Context) (stop func() error, err error) {
	_, err = a.pool.Exec(ctx, `
		WITH removed AS (DELETE FROM authsync.river_job), requests AS (DELETE FROM authsync.job_requests), pending AS (DELETE FROM authsync.inbox_pending)
		INSERT INTO authsync.river_job (kind, max_attempts, args)
		SELECT $1, 25, jsonb_build_object('project_id', i.project_id, 'inbox_id', i.id, 'received_at', i.received_at)
		FROM authsync.inbox AS i`, singleArgs{}.Kind())
	if err != nil {
		return nil, fmt.Errorf("make a job an event: %w", err)
	}
	const calls = 4 // more would only wait for the mirror's lock
	worker := &singleWorker{applyBench: a, mirrors: make(chan *mirror.Mirrors, calls)}
	databases := make([]*tenantdb.Databases, calls)
	for i := range databases {
		databases[i] = a.newDatabases()
		worker.mirrors <- a.newMirrors(databases[i])
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(riverpgxv5.New(a.pool), &river.Config{
		Schema: inbox.RiverSchema, Logger: a.log, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100, FetchCooldown: 10 * time.Millisecond}},
	})
	if err != nil {
		return nil, fmt.Errorf("make the reference's client: %w", err)
	}
	if err := client.Start(ctx); err != nil {
		return nil, fmt.Errorf("start the reference's workers: %w", err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		errs := []error{client.Stop(ctx)}
		for _, d := range databases {
			errs = append(errs, d.Close(ctx))
		}
		return errors.Join(errs...)
	}, nil
}
