package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	applySenders = 64 // connections while applying is measured
	applyWorkers = 16 // jobs at the same time, fewer than the server has by default
	lightPause   = 50 * time.Millisecond
	// patience bounds how long rows may take to appear.
	patience = 2 * time.Minute
)

// applyBench measures the second half of the road: from the inbox to the row.
type applyBench struct {
	*environment

	users    *pgxpool.Pool // the project database
	receiver *ownReceiver
	template template
}

// applying measures a backlog beside one job an event, then the whole road under
// full load and under light load.
func (e *environment) applying(ctx context.Context, w io.Writer, c Config) error {
	a, err := e.newApply(ctx)
	if err != nil {
		return err
	}
	defer a.close(ctx)

	few := max(c.Events/8, 1) // the reference is slow
	single, err := a.backlog(ctx, few, a.startSingle)
	if err != nil {
		return fmt.Errorf("one job an event: %w", err)
	}
	backlog, err := a.backlog(ctx, c.Events, a.startApplier)
	if err != nil {
		return fmt.Errorf("apply a backlog: %w", err)
	}
	full, memory, err := a.fullLoad(ctx, c.Events)
	if err != nil {
		return fmt.Errorf("apply while receiving: %w", err)
	}
	light, err := a.lightLoad(ctx, c.Light)
	if err != nil {
		return fmt.Errorf("apply one by one: %w", err)
	}
	fmt.Fprintf(w, "\nApplying: Auth0 profiles of %d bytes into capydb_auth.users\n", a.template.body)
	table(w, [][]string{
		{"what", "events/s", "204 to row, p50", "p99"},
		{fmt.Sprintf("reference: one job and one call an event, backlog of %d", few), fmt.Sprintf("%.0f", single), "", ""},
		{fmt.Sprintf("authsync: backlog of %d, %.1f times the reference", c.Events, backlog/single), fmt.Sprintf("%.0f", backlog), "", ""},
		{fmt.Sprintf("authsync: %d senders, from the request to the row, process of %d MB", applySenders, memory/1000), fmt.Sprintf("%.0f", full), "", ""},
		{"authsync: one event at a time", "", short(light.percentile(0.5)), short(light.percentile(0.99))},
	})
	return nil
}

func (e *environment) newApply(ctx context.Context) (_ *applyBench, err error) {
	a := &applyBench{environment: e}
	if a.template, err = e.newTemplate(e.path()); err != nil {
		return nil, err
	}
	if a.users, err = pgdb.Open(ctx, e.server.URL(projectDatabase), pgdb.Options{MaxConns: 2}); err != nil {
		return nil, err
	}
	if a.receiver, err = e.newReceiver(ctx); err != nil {
		a.users.Close()
		return nil, err
	}
	return a, nil
}

func (a *applyBench) close(ctx context.Context) {
	a.receiver.close(ctx)
	a.users.Close()
}

func (a *applyBench) newDatabases() *tenantdb.Databases {
	return tenantdb.New(tenantdb.Config{
		URL: func(context.Context, uuid.UUID) (string, error) { return a.server.URL(projectDatabase), nil },
		Log: a.log,
	})
}

func (a *applyBench) newMirrors(databases *tenantdb.Databases) *mirror.Mirrors {
	return mirror.New(mirror.Config{Databases: databases, Log: a.log})
}

// startApplier starts authsync's own workers.
func (a *applyBench) startApplier(ctx context.Context) (stop func() error, err error) {
	databases := a.newDatabases()
	applies := apply.Config{
		Pool: a.pool, Inbox: a.receiver.inbox, Directory: a.environment, Databases: databases, Mirrors: a.newMirrors(databases), Log: a.log, Retention: 24 * time.Hour,
	}
	client, err := jobs.New(jobs.Config{
		Pool: a.pool, Log: a.log, Workers: []jobs.Register{apply.Register(applies, applyWorkers)}, Periodic: apply.Periodic(),
	})
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return errors.Join(client.Stop(ctx), databases.Close(ctx))
	}, nil
}

// starter starts some workers on what is in the inbox.
type starter func(ctx context.Context) (stop func() error, err error)

// backlog stores events while no worker runs, then measures how fast they become rows.
func (a *applyBench) backlog(ctx context.Context, events int, start starter) (rate float64, err error) {
	if err := a.restart(ctx); err != nil {
		return 0, err
	}
	if err := a.send(ctx, plan{connections: applySenders, requests: int64(events)}); err != nil {
		return 0, err
	}
	stop, err := start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	begun := time.Now()
	if err := a.awaitUsers(ctx, events); err != nil {
		return 0, err
	}
	return float64(events) / time.Since(begun).Seconds(), nil
}

// fullLoad sends events as fast as they are taken, while they are applied, and
// measures until the last one is a row.
func (a *applyBench) fullLoad(ctx context.Context, events int) (rate float64, memory int, err error) {
	if err := a.restart(ctx); err != nil {
		return 0, 0, err
	}
	stop, err := a.startApplier(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	begun := time.Now()
	if err := a.send(ctx, plan{connections: applySenders, requests: int64(events)}); err != nil {
		return 0, 0, err
	}
	if err := a.awaitUsers(ctx, events); err != nil {
		return 0, 0, err
	}
	return float64(events) / time.Since(begun).Seconds(), residentMemory(), nil
}

// lightLoad sends one event at a time and looks for its row from the moment of the answer.
func (a *applyBench) lightLoad(ctx context.Context, events int) (l load, err error) {
	if err := a.restart(ctx); err != nil {
		return load{}, err
	}
	stop, err := a.startApplier(ctx)
	if err != nil {
		return load{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	address, closeServer, err := serve(ctx, a.receiver.handler)
	if err != nil {
		return load{}, err
	}
	defer closeServer()
	pause := time.NewTicker(lightPause)
	defer pause.Stop()
	for n := range events {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return load{}, ctx.Err()
		}
		if _, err := generate(ctx, address, a.template, plan{connections: 1, requests: 1, first: int64(n)}); err != nil {
			return load{}, err
		}
		answered := time.Now()
		if err := a.awaitUsers(ctx, n+1); err != nil {
			return load{}, err
		}
		l.latencies = append(l.latencies, time.Since(answered))
	}
	l.sort()
	return l, nil
}

// send posts events to a server of its own.
func (a *applyBench) send(ctx context.Context, p plan) error {
	address, stop, err := serve(ctx, a.receiver.handler)
	if err != nil {
		return err
	}
	defer stop()
	_, err = generate(ctx, address, a.template, p)
	return err
}

// awaitUsers waits until the mirror has so many rows. The more there are, the less
// often it looks, so that looking stays cheap beside the work.
func (a *applyBench) awaitUsers(ctx context.Context, users int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the rows did not appear in time"))
	defer cancel()
	pause := time.NewTicker(2*time.Millisecond + time.Duration(users)*5*time.Microsecond)
	defer pause.Stop()
	for {
		var there int
		if err := a.users.QueryRow(ctx, `SELECT count(*) FROM capydb_auth.users`).Scan(&there); err != nil {
			return fmt.Errorf("look for rows: %w", err)
		}
		if there >= users {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// restart empties the inbox and the mirror.
func (a *applyBench) restart(ctx context.Context) error {
	if err := a.empty(ctx); err != nil {
		return err
	}
	_, err := a.users.Exec(ctx, `TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.changes`)
	if err != nil {
		return fmt.Errorf("empty the mirror: %w", err)
	}
	return nil
}
