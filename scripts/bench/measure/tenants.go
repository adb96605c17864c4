package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/seal"
)

// deliverDatabase is the control database of the whole server.
const deliverDatabase = "deliver"

// delivery measures the whole road: a server with all its parts, projects with
// databases of their own, and a sink at the other end.
type delivery struct {
	*environment

	app     *app.App
	address string
	api     *client.Client
	control *pgxpool.Pool // to look at what the server does
	sink    *sink
	say     func(format string, args ...any)

	closers []func(context.Context) error
}

// tenant is a project with its integration.
type tenant struct {
	project.Project

	template template
	next     int64 // the number of the next event
}

func (e *environment) newDelivery(ctx context.Context, roles config.Roles, say func(string, ...any)) (_ *delivery, err error) {
	d := &delivery{environment: e, say: say}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(ctx))
		}
	}()
	conn, err := pgx.Connect(ctx, e.server.URL("postgres"))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+deliverDatabase+" WITH (FORCE)") // of the part before
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+deliverDatabase)
	}
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, fmt.Errorf("create database %s: %w", deliverDatabase, err)
	}
	url := e.server.URL(deliverDatabase)
	if _, err := schema.Up(ctx, url, schema.Control, schema.Options{}); err != nil {
		return nil, err
	}
	if d.control, err = pgdb.Open(ctx, url, pgdb.Options{MaxConns: 4}); err != nil {
		return nil, err
	}
	d.closers = append(d.closers, func(context.Context) error { d.control.Close(); return nil })
	if err := d.startServer(ctx, url, roles); err != nil {
		return nil, err
	}
	sink, stop, err := newSink(ctx)
	if err != nil {
		return nil, err
	}
	d.sink = sink
	// Before the server: what hangs ends at once then.
	d.closers = append(d.closers, func(context.Context) error { stop(); return nil })
	return d, nil
}

// allRoles are those of a server that does everything.
func allRoles() config.Roles { return config.Roles{Receiver: true, Worker: true, API: true} }

// startServer starts authsync as `authsync serve` would, with what it takes if nothing but the roles is set.
func (d *delivery) startServer(ctx context.Context, url string, roles config.Roles) error {
	listener, err := app.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	settings, err := config.Load(func(name string) string {
		return map[string]string{"DATABASE_URL": url, "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey()}[name]
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	settings.Roles = roles
	settings.AllowTargets, settings.AllowDatabaseTargets = egress.Loopback(), egress.Loopback()
	d.address = listener.Addr().String()
	if d.app, err = app.Start(ctx, app.Config{Settings: settings, Log: d.log, Listener: listener}); err != nil {
		return err
	}
	d.closers = append(d.closers, d.app.Stop)
	_, key, err := d.app.Store.CreateKey(ctx, project.KeyInput{Name: "bench"})
	if err != nil {
		return err
	}
	d.api = client.New(d.app.URL(), config.Secret(key))
	d.closers = append(d.closers, func(context.Context) error { d.api.Close(); return nil })
	return nil
}

func (d *delivery) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var errs []error
	for _, closeIt := range slices.Backward(d.closers) {
		errs = append(errs, closeIt(ctx))
	}
	return errors.Join(errs...)
}

// newTenant makes a project with a database of its own.
func (d *delivery) newTenant(ctx context.Context, name string) (*tenant, error) {
	p, err := d.app.Store.CreateProject(ctx, name, "", false)
	if err != nil {
		return nil, err
	}
	secret, err := json.Marshal(signingSecret)
	if err != nil {
		return nil, err
	}
	_, err = d.app.Store.PutIntegration(ctx, p.ID, d.endpoint.Provider.Name(), map[string]json.RawMessage{"webhook_signing_secret": secret}, nil)
	if err != nil {
		return nil, err
	}
	t := &tenant{Project: p}
	t.template, err = d.newTemplate(d.pathOf(p.ID))
	return t, err
}

// fill sends an event of each user, some times over, and waits until all of them are in
// the mirror. One round follows the other, so that each event is a change.
func (d *delivery) fill(ctx context.Context, t *tenant, users, rounds int) error {
	for range rounds {
		p := plan{connections: manySenders, requests: int64(users), first: t.next, again: t.next}
		t.next += int64(users)
		if _, err := generate(ctx, d.address, t.template, p); err != nil {
			return err
		}
		err := d.await(ctx, "the events were not applied in time", func() (done bool, err error) {
			err = d.control.QueryRow(ctx, nothingPending, t.ID).Scan(&done)
			return done, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	nothingPending = `SELECT l.pending_messages = 0 FROM authsync.project_lag AS l WHERE l.project_id = $1`
	nobodySends    = `
		SELECT coalesce(bool_and(f.lease IS NULL), true)
		FROM authsync.destination_progress AS f
		JOIN authsync.destinations AS d ON d.id = f.destination_id
		WHERE d.project_id <> $1`

	relayRests    = `SELECT r.job_id IS NULL FROM authsync.job_requests AS r WHERE r.kind = 'relay_changes' AND r.subject = $1::uuid::text`
	selectWaiting = `
		SELECT count(*)
		FROM authsync.deliveries AS o
		JOIN authsync.destinations AS d ON d.id = o.destination_id
		WHERE d.project_id = $1 AND d.name = $2 AND o.state IN ('blocked', 'ready')`
)

// pausedWebhook makes a destination that is given all changes there are, and that sends
// nothing before it is resumed.
func (d *delivery) pausedWebhook(ctx context.Context, t *tenant, name, path string) (ready int, err error) {
	if err := d.webhook(ctx, t, name, path); err != nil {
		return 0, err
	}
	if _, err := d.api.ActOn(ctx, t.Name, name, "pause", client.PauseOrder{}); err != nil {
		return 0, err
	}
	if _, err := d.api.ReplayDestination(ctx, t.Name, name, client.ReplayOrder{Since: "beginning"}); err != nil {
		return 0, err
	}
	err = d.await(ctx, "the changes were not relayed in time", func() (rests bool, err error) {
		err = d.control.QueryRow(ctx, relayRests, t.ID).Scan(&rests)
		return rests, err
	})
	if err != nil {
		return 0, err
	}
	return d.waiting(ctx, t, name)
}

// waiting counts what waits for a destination.
func (d *delivery) waiting(ctx context.Context, t *tenant, name string) (n int, err error) {
	if err := d.control.QueryRow(ctx, selectWaiting, t.ID, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	return n, nil
}

func (d *delivery) webhook(ctx context.Context, t *tenant, name, path string) error {
	_, err := d.api.AddDestination(ctx, t.Name, map[string]any{
		"name": name, "type": "webhook", "since": "now", "options": map[string]any{"url": d.sink.url + path},
	})
	return err
}

func (d *delivery) resume(ctx context.Context, t *tenant, name string) error {
	_, err := d.api.ActOn(ctx, t.Name, name, "resume", nil)
	return err
}

func (d *delivery) remove(ctx context.Context, t *tenant, name string) error {
	return d.api.Do(ctx, http.MethodDelete, client.DestinationPath(t.Name, name), nil, nil)
}

// await waits until something is so.
func (d *delivery) await(ctx context.Context, otherwise string, is func() (bool, error)) error {
	return await(ctx, lookEvery, otherwise, is)
}

// await waits until something is so, of which it looks from time to time.
func await(ctx context.Context, every time.Duration, otherwise string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New(otherwise))
	defer cancel()
	pause := time.NewTicker(every)
	defer pause.Stop()
	for {
		switch done, err := is(); {
		case err != nil:
			return err
		case done:
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
