package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

const (
	// runPatience bounds how long a backfill or reconcile may take, for each user.
	runPatience = 5 * time.Millisecond
	lookEvery   = 20 * time.Millisecond
)

// backfilling measures backfills of several sizes, and a reconcile of what each has read.
func (e *environment) backfilling(ctx context.Context, w io.Writer, c Config) error {
	a, err := e.newApply(ctx)
	if err != nil {
		return err
	}
	defer a.close(ctx)
	fake, err := newFake()
	if err != nil {
		return err
	}
	stop, err := fake.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintf(w, "\nReading users from a Clerk that answers at once, %d bytes each, %d a page\n", len(fake.user), maxPage)
	rows := [][]string{{"what", "users/s", "cpu each", "memory at most"}}
	for _, users := range c.Users {
		fake.users = users
		if err := a.restart(ctx); err != nil {
			return err
		}
		for _, kind := range []string{provider.KindBackfill, provider.KindReconcile} {
			r, err := a.run(ctx, fake, kind)
			if err != nil {
				return fmt.Errorf("%s of %d users: %w", kind, users, err)
			}
			rows = append(rows, []string{
				fmt.Sprintf("%s of %d users", kind, users), fmt.Sprintf("%.0f", float64(users)/r.took.Seconds()),
				fmt.Sprintf("%d us", r.cpu.Microseconds()/int64(users)), fmt.Sprintf("%d MB", r.memory/1000),
			})
		}
	}
	table(w, rows)
	return nil
}

// measured is what a run took.
type measured struct {
	took, cpu time.Duration
	memory    int // kB, the fake included
}

// run works a run to its end, with the workers as the server has them.
func (a *applyBench) run(ctx context.Context, fake *fake, kind string) (m measured, err error) {
	databases := a.newDatabases()
	store := syncrun.NewStore(a.pool, fake)
	workers, queues := river.NewWorkers(), map[string]river.QueueConfig{}
	syncrun.Register(syncrun.Config{Pool: a.pool, Store: store, Accounts: fake, Mirrors: a.newMirrors(databases), Log: a.log}, workers, queues)
	client, err := river.NewClient(riverpgxv5.New(a.pool), &river.Config{
		Schema: inbox.RiverSchema, Logger: a.log, Workers: workers, Queues: queues, JobTimeout: 30 * time.Second,
	})
	if err != nil {
		return m, fmt.Errorf("make the client of jobs: %w", err)
	}
	if _, err := store.Start(ctx, a.endpoint.ProjectID, fake.kind.Name(), syncrun.Order{Kind: kind}); err != nil {
		return m, err
	}
	before, begun := a.cpuTime(), time.Now()
	if err := client.Start(ctx); err != nil {
		return m, fmt.Errorf("start workers: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, client.StopAndCancel(ctx), databases.Close(ctx))
	}()
	m.memory, err = a.awaitRun(ctx, store, fake, kind)
	m.took, m.cpu = time.Since(begun), a.cpuTime()-before
	return m, err
}

// awaitRun waits for the end of a run, which must have seen every user and no
// trouble, and gives the most memory that was seen meanwhile.
func (a *applyBench) awaitRun(ctx context.Context, store *syncrun.Store, fake *fake, kind string) (memory int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute+time.Duration(fake.users)*runPatience, errors.New("it did not end in time"))
	defer cancel()
	pause := time.NewTicker(lookEvery)
	defer pause.Stop()
	for {
		run, err := store.Latest(ctx, a.endpoint.ProjectID, fake.kind.Name(), kind)
		memory = max(memory, residentMemory())
		users := int64(fake.users)
		switch {
		case err != nil:
			return 0, err
		case run.State == syncrun.Done && run.Read == users && run.Failed == 0 && run.Applied+run.Unchanged == users:
			return memory, nil
		case run.Finished():
			why := ""
			if run.Error != nil {
				why = *run.Error
			}
			return 0, fmt.Errorf("it is %s, with %d users applied, %d unchanged, %d failed; %s", run.State, run.Applied, run.Unchanged, run.Failed, why)
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}
