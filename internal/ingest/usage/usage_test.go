package usage_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestQuotaIsOfAllProcessesTogether(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	newProject := func(name string) (id uuid.UUID) {
		require.NoError(t, pool.QueryRow(t.Context(),
			`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ($1, '') RETURNING id`, name).Scan(&id))
		return id
	}
	shop, other := newProject("shop"), newProject("other")
	counter := func() *usage.Counter {
		c := usage.New(pool, slog.New(slog.DiscardHandler), 10_000)
		require.NoError(t, c.Load(t.Context()))
		return c
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // Run writes once
	now := time.Date(2026, 5, 4, 23, 59, 59, 0, time.UTC)

	one, two := counter(), counter()
	one.Add(shop, now, 5_500)
	one.Add(other, now, 1)
	two.Add(shop, now.Add(time.Second), 3_500)
	_, _, exceeded := one.Exceeded(shop)
	require.False(t, exceeded, "neither knows of the other yet")
	one.Run(ended)
	two.Run(ended)
	stored, quota, exceeded := two.Exceeded(shop)
	require.True(t, exceeded)
	require.EqualValues(t, 10_000, stored)
	require.EqualValues(t, 10_000, quota)
	_, _, exceeded = two.Exceeded(other)
	require.False(t, exceeded)
	_, _, exceeded = counter().Exceeded(shop)
	require.True(t, exceeded, "a process that starts knows it")
	unlimited := usage.New(pool, slog.New(slog.DiscardHandler), 0)
	_, _, exceeded = unlimited.Exceeded(shop)
	require.False(t, exceeded)

	var messages, bytes int64
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT messages, bytes FROM authsync.project_usage WHERE project = 'shop'`).Scan(&messages, &bytes))
	require.EqualValues(t, 2, messages)
	require.EqualValues(t, 10_000, bytes)
}

// Retention gives room again: what a day's partition held counts no longer once it is dropped.
func TestDroppedDaysCountNoLonger(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	var shop uuid.UUID
	require.NoError(t, pool.QueryRow(t.Context(),
		`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('shop', '') RETURNING id`).Scan(&shop))
	old := time.Now().UTC().Add(-72 * time.Hour)
	_, err := pool.Exec(t.Context(), `SELECT authsync.make_inbox_partitions($1::text::date, 1)`, old.Format(time.DateOnly))
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := usage.New(pool, slog.New(slog.DiscardHandler), 10_000)
	c.Add(shop, old, 20_000)
	c.Run(ended)
	_, _, exceeded := c.Exceeded(shop)
	require.True(t, exceeded)
	require.NoError(t, inbox.Pruner{Pool: pool, Default: 24 * time.Hour}.Prune(t.Context()))
	require.NoError(t, c.Load(t.Context()))
	stored, _, exceeded := c.Exceeded(shop)
	require.False(t, exceeded)
	require.Zero(t, stored)
}

// Counts that cannot be written are written later.
func TestCountsOutliveAnOutage(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	var shop uuid.UUID
	require.NoError(t, pool.QueryRow(t.Context(),
		`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('shop', '') RETURNING id`).Scan(&shop))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := usage.New(pool, slog.New(slog.DiscardHandler), 10_000)
	_, err := pool.Exec(t.Context(), `ALTER TABLE authsync.inbox_usage RENAME TO away`)
	require.NoError(t, err)
	c.Add(shop, time.Now(), 500)
	c.Run(ended)
	_, err = pool.Exec(t.Context(), `ALTER TABLE authsync.away RENAME TO inbox_usage`)
	require.NoError(t, err)
	c.Add(shop, time.Now(), 500)
	c.Run(ended)
	var messages int64
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT messages FROM authsync.project_usage`).Scan(&messages))
	require.EqualValues(t, 2, messages)
}
