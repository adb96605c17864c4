package tenantdb_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func newDatabases(t *testing.T, config tenantdb.Config) *tenantdb.Databases {
	t.Helper()
	d := tenantdb.New(config)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

// at gives every project the same URL. Nothing connects to it unless the breaker has been opened.
func at(url string) func(context.Context, uuid.UUID) (string, error) {
	return func(context.Context, uuid.UUID) (string, error) { return url, nil }
}

const nowhere = "postgres://nobody@127.0.0.1:1/nowhere"

func TestManyProjectsShareTheWorkers(t *testing.T) {
	t.Parallel()
	const workers = 12
	d := newDatabases(t, tenantdb.Config{URL: at(nowhere), Workers: workers})

	acquireAll := func(id uuid.UUID) (acquired int, delays []time.Duration) {
		for {
			_, err := d.Acquire(t.Context(), id)
			if err == nil {
				acquired++
				continue
			}
			var delay *tenantdb.DelayError
			require.ErrorAs(t, err, &delay)
			if delays = append(delays, delay.After); len(delays) == 3 {
				return acquired, delays
			}
		}
	}
	one, delays := acquireAll(uuid.New())
	require.Equal(t, workers/2, one, "alone a project gets half of the workers")
	require.Less(t, delays[0], delays[1], "jobs that are turned away return one after another")
	require.Less(t, delays[1], delays[2])
	two, _ := acquireAll(uuid.New())
	require.Equal(t, workers/4, two, "the next one gets half of what is left")
	three, _ := acquireAll(uuid.New())
	require.Positive(t, three, "and a new one always gets some")
}

func TestASlotIsReleased(t *testing.T) {
	t.Parallel()
	d := newDatabases(t, tenantdb.Config{URL: at(nowhere), Workers: 2}) // one for each project
	id := uuid.New()
	for range 3 {
		release, err := d.Acquire(t.Context(), id)
		require.NoError(t, err)
		_, err = d.Acquire(t.Context(), id)
		require.ErrorContains(t, err, "other jobs of this project")
		release()
	}
}

func TestASlotIsNotGivenWhileTheBreakerIsOpen(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	clock := func() time.Time { return time.Unix(now.Load(), 0) }
	d := newDatabases(t, tenantdb.Config{URL: at(pgtest.URL(t, pgtest.Empty(t))), Now: clock})
	id := uuid.New()
	db, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	until := db.Failed(errors.New("no such host"))
	_, err = d.Acquire(t.Context(), id)
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay)
	require.ErrorContains(t, err, "no such host")
	require.GreaterOrEqual(t, delay.After, until.Sub(clock()))
	_, err = d.Acquire(t.Context(), uuid.New())
	require.NoError(t, err, "other projects are not affected")

	now.Add(60)
	release, err := d.Acquire(t.Context(), id)
	require.NoError(t, err, "the probe was answered")
	release()
}

// What uses a database that has moved ends before its connections are closed; nothing new uses it.
func TestNoDatabaseIsOpenedAfterTheEnd(t *testing.T) {
	t.Parallel()
	var url atomic.Value
	url.Store(nowhere)
	d := tenantdb.New(tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return url.Load().(string), nil }}) //nolint:errcheck,forcetypeassert // as stored
	id := uuid.New()
	db, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	hold, held := make(chan struct{}), make(chan struct{})
	require.NoError(t, db.OnClose(func(context.Context) error { close(held); <-hold; return nil }))
	url.Store("postgres://nobody@127.0.0.1:1/elsewhere")
	_, err = d.Get(t.Context(), id) // which retires the first in the background
	require.NoError(t, err)
	<-held

	brief, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Close(brief), context.Canceled, "what was retired is not closed yet")
	for range 2 {
		_, err = d.Get(t.Context(), id)
		require.ErrorIs(t, err, tenantdb.ErrClosed)
	}
	close(hold)
	require.NoError(t, d.Close(t.Context()))
}

func TestADatabaseThatMovedIsRetired(t *testing.T) {
	t.Parallel()
	first, second := pgtest.URL(t, pgtest.Empty(t)), pgtest.URL(t, pgtest.Empty(t))
	var url atomic.Value
	url.Store(first)
	d := newDatabases(t, tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) {
		if u, ok := url.Load().(string); ok && u != "" {
			return u, nil
		}
		return "", errors.New("no such project")
	}})
	id := uuid.New()
	old, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	same, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	require.Same(t, old, same)
	closing, answer := make(chan struct{}), make(chan error, 1)
	require.NoError(t, old.OnClose(func(ctx context.Context) error {
		<-closing
		answer <- old.Pool().Ping(ctx)
		return nil
	}))

	url.Store(second)
	moved, err := d.Get(t.Context(), id)
	require.NoError(t, err)
	require.NotSame(t, old, moved)
	require.Equal(t, second, moved.URL())
	require.ErrorIs(t, old.OnClose(func(context.Context) error { return nil }), tenantdb.ErrRetired)
	close(closing)
	require.NoError(t, waittest.Receive(t, answer), "connections are closed last")
	waittest.Until(t, func() bool { return old.Pool().Ping(t.Context()) != nil })

	url.Store("")
	require.ErrorContains(t, d.Ready(t.Context(), id), "no such project")
	require.ErrorIs(t, moved.OnClose(func(context.Context) error { return nil }), tenantdb.ErrRetired, "a deleted one is retired as well")
}
