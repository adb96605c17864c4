package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
)

// manyMirrors is how many projects have their databases in one server.
const manyMirrors = 8

// mirrors are projects whose databases are in one server, and somebody listens to each.
type mirrors struct {
	*applyBench

	ids       []uuid.UUID
	urls      map[uuid.UUID]string
	databases *tenantdb.Databases
	mirrors   *mirror.Mirrors
	listeners []*pgx.Conn
	notifying bool
	next      atomic.Int64 // the number of the next event
}

// manyProjects measures how many events the mirrors take together, one a call, with the notification that the call
// sends and without. PostgreSQL commits transactions that notify one after another, whichever database they are in.
func (a *applyBench) manyProjects(ctx context.Context, c Config) (rows [][]string, err error) {
	m, err := a.newMany(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close(ctx)) }()
	calls := max(c.Events/100, 1)
	if err := m.notify(ctx, true, 1); err != nil { // installs
		return nil, err
	}
	results := make(map[bool][]applied)
	for range c.Rounds {
		for _, on := range []bool{true, false} {
			result := applied{events: calls * manyMirrors}
			result.cost, err = a.spent(ctx, func() error {
				begun := time.Now()
				defer func() { result.took = time.Since(begun) }()
				return m.notify(ctx, on, calls)
			})
			if err != nil {
				return nil, err
			}
			results[on] = append(results[on], result)
		}
	}
	rows = [][]string{{fmt.Sprintf("%d projects in one server, one event a call", manyMirrors), "events/s", "CPU us/event"}}
	for _, on := range []bool{true, false} {
		slices.SortFunc(results[on], func(x, y applied) int { return int(x.took - y.took) })
		r := results[on][len(results[on])/2]
		rows = append(rows, []string{map[bool]string{true: "with notifications", false: "without"}[on], fmt.Sprintf("%.0f", r.rate()), strconv.FormatInt(r.cost.cpu().Microseconds()/int64(r.events), 10)})
	}
	return rows, nil
}

func (a *applyBench) newMany(ctx context.Context) (_ *mirrors, err error) {
	m := &mirrors{applyBench: a, notifying: true, urls: make(map[uuid.UUID]string)}
	m.databases = tenantdb.New(tenantdb.Config{URL: func(_ context.Context, id uuid.UUID) (string, error) { return m.urls[id], nil }, Log: a.log})
	m.mirrors = a.newMirrors(m.databases)
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close(ctx))
		}
	}()
	for i := range manyMirrors {
		name, id := fmt.Sprintf("%s_%d", projectDatabase, i), uuid.New()
		if _, err := a.users.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return nil, fmt.Errorf("create database %s: %w", name, err)
		}
		if _, err := schema.Up(ctx, a.server.URL(name), schema.Project, schema.Options{}); err != nil {
			return nil, err
		}
		m.ids, m.urls[id] = append(m.ids, id), a.server.URL(name)
		listener, err := pgx.Connect(ctx, m.urls[id])
		if err != nil {
			return nil, fmt.Errorf("connect a listener: %w", err)
		}
		m.listeners = append(m.listeners, listener)
		if _, err := listener.Exec(ctx, `LISTEN capydb_auth_changes`); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	return m, nil
}

func (m *mirrors) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var errs []error
	for _, l := range m.listeners {
		errs = append(errs, l.Close(ctx))
	}
	return errors.Join(append(errs, m.databases.Close(ctx))...)
}

// notify applies events to all mirrors at once, one a call, with or without notifications.
func (m *mirrors) notify(ctx context.Context, on bool, calls int) error {
	if err := m.setNotifications(ctx, on); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, id := range m.ids {
		group.Go(func() error {
			for range calls {
				if err := m.applyNext(ctx, id); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// setNotifications hides PostgreSQL's function behind one that has no effect, and shows it again.
func (m *mirrors) setNotifications(ctx context.Context, on bool) error {
	sql := `ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO kept;
		CREATE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''`
	if on {
		sql = `DROP FUNCTION pg_catalog.pg_notify(text, text);
			ALTER FUNCTION pg_catalog.kept(text, text) RENAME TO pg_notify`
	}
	if on == m.notifying {
		return nil
	}
	for _, conn := range m.listeners {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("replace the function that notifies: %w", err)
		}
	}
	m.notifying = on
	return nil
}

// applyNext applies a new event to a mirror by a call of its own.
func (m *mirrors) applyNext(ctx context.Context, id uuid.UUID) error {
	n, now := m.next.Add(1), time.Now()
	request := slices.Clone(m.template.bytes)
	m.template.number(request, n, n)
	message := provider.Message{InboxID: n, ReceivedAt: now, Body: request[len(request)-m.template.body:]}
	var events []mirror.Event
	for _, e := range m.endpoint.Provider.Decode(message, m.endpoint.Options) {
		events = append(events, mirror.Event{Event: e, Provider: m.endpoint.Provider.Name(), InboxID: n, ReceivedAt: now})
	}
	results, err := m.mirrors.Apply(ctx, id, events)
	if err != nil {
		return fmt.Errorf("apply an event: %w", err)
	}
	for _, r := range results {
		if r.Outcome != inbox.Applied {
			return fmt.Errorf("an event is %q: %s: %w", r.Outcome, r.Reason, r.Err)
		}
	}
	return nil
}
