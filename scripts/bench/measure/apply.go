package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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
	manySenders, fewSenders = 64, 8
	applyWorkers            = 16 // jobs at the same time, fewer than the server has by default
	lightPause              = 50 * time.Millisecond
	// patience bounds how long rows may take to appear.
	patience = 2 * time.Minute
)

// applyBench measures the second half of the road: from the inbox to the row.
type applyBench struct {
	*environment

	users    *pgxpool.Pool // the project database
	receiver *ownReceiver
	upsert   *upsertHandler
	template template
	readsWAL bool
}

// applying measures backlogs beside one job an event, the whole road beside a handler that writes the row
// itself, light load, and many projects at once.
func (e *environment) applying(ctx context.Context, w io.Writer, c Config) error {
	a, err := e.newApply(ctx)
	if err != nil {
		return err
	}
	defer a.close(ctx)

	a.readsWAL = c.WAL
	results, err := a.rounds(ctx, c)
	if err != nil {
		return err
	}
	if c.WAL {
		table(w, appliedRows(results))
		for _, r := range results {
			table(w, walRows(r))
		}
		return nil
	}
	light, err := a.lightLoad(ctx, c.Light)
	if err != nil {
		return fmt.Errorf("apply one by one: %w", err)
	}
	projects, err := a.manyProjects(ctx, c)
	if err != nil {
		return fmt.Errorf("apply to many projects: %w", err)
	}
	fmt.Fprintf(w, "\nApplying: Auth0 profiles of %d bytes into capydb_auth.users; %d events, median of %d rounds\n", a.template.body, c.Events, c.Rounds)
	table(w, appliedRows(results))
	table(w, [][]string{
		{"authsync: one event at a time", "p50", "p99"},
		{"204 to row", short(light.percentile(0.5)), short(light.percentile(0.99))},
	})
	table(w, projects)
	return nil
}

// rounds takes all measurements in turns, so that what else the machine does meets all of them.
func (a *applyBench) rounds(ctx context.Context, c Config) (medians []applied, err error) {
	var all [][]applied
	for range c.Rounds {
		var results []applied
		for _, run := range a.runs(c) {
			if a.readsWAL && run.isReference {
				continue
			}
			two, err := a.measureRun(ctx, run)
			if err != nil {
				return nil, err
			}
			results = append(results, two...)
		}
		all = append(all, results)
	}
	for i := range all[0] {
		var same []applied
		for _, results := range all {
			same = append(same, results[i])
		}
		slices.SortFunc(same, func(x, y applied) int { return cmp.Compare(x.cost.cpu(), y.cost.cpu()) })
		medians = append(medians, same[len(same)/2])
	}
	return medians, nil
}

func (e *environment) newApply(ctx context.Context) (_ *applyBench, err error) {
	a := &applyBench{environment: e}
	if a.template, err = e.newTemplate(e.path()); err != nil {
		return nil, err
	}
	if a.users, err = pgdb.Open(ctx, e.server.URL(projectDatabase), pgdb.Options{MaxConns: 2, RuntimeParams: pgdb.FreshPlans()}); err != nil {
		return nil, err
	}
	if a.upsert, err = e.newUpsertHandler(ctx); err == nil {
		a.receiver, err = e.newReceiver(ctx)
	}
	if err != nil {
		a.close(ctx)
		return nil, err
	}
	return a, nil
}

func (a *applyBench) close(ctx context.Context) {
	if a.receiver != nil {
		a.receiver.close(ctx)
	}
	if a.upsert != nil {
		a.upsert.pool.Close()
	}
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

// restart empties the inbox and the mirror.
func (a *applyBench) restart(ctx context.Context) error {
	if err := a.empty(ctx); err != nil {
		return err
	}
	_, err := a.users.Exec(ctx, `TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.changes, bench_users`)
	if err != nil {
		return fmt.Errorf("empty the mirror: %w", err)
	}
	return nil
}
