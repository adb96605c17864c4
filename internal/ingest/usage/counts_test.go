package usage_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestMessagesOfADayAreCountedByInterval(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	var shop, other uuid.UUID
	require.NoError(t, pool.QueryRow(t.Context(),
		`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('shop', ''), ('other', '') RETURNING id`).Scan(&shop))
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT id FROM authsync.projects WHERE id <> $1`, shop).Scan(&other))
	ended, cancel := context.WithCancel(t.Context())
	cancel() // Run writes once
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	add := func(project uuid.UUID, times ...time.Time) {
		c := usage.New(pool, slog.New(slog.DiscardHandler), 0)
		for _, at := range times {
			c.Add(project, at, 1)
		}
		c.Run(ended)
	}
	// received has the counts that are not zero, by how many intervals ago they were.
	received := func(project uuid.UUID, now time.Time) map[int]int64 {
		all, err := usage.Reader{Pool: pool, Now: func() time.Time { return now }}.LastDay(t.Context(), project)
		require.NoError(t, err)
		require.Len(t, all, 96)
		require.True(t, all[95].BeganAt.Equal(now.Truncate(15*time.Minute)))
		found := map[int]int64{}
		for n, c := range all {
			require.True(t, c.BeganAt.Equal(all[0].BeganAt.Add(time.Duration(n)*15*time.Minute)))
			if c.MessageCount > 0 {
				found[95-n] = c.MessageCount
			}
		}
		return found
	}

	add(shop, now, now, now.Add(-6*time.Minute), now.Add(-24*time.Hour), now.Add(-23*time.Hour-50*time.Minute))
	add(shop, now)
	add(other, now.Add(-time.Hour))
	require.Equal(t, map[int]int64{0: 3, 1: 1, 95: 1}, received(shop, now), "a slot of yesterday is taken by today")
	require.Equal(t, map[int]int64{4: 1}, received(other, now))

	// A day later the slots are written anew, and what is late for them is not added to another day.
	later := now.Add(24 * time.Hour)
	require.Empty(t, received(shop, later.Add(time.Hour)))
	add(shop, later)
	add(shop, now)
	require.Equal(t, map[int]int64{0: 1}, received(shop, later))
	var days, rows int64
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT messages FROM authsync.project_usage WHERE project = 'shop'`).Scan(&days))
	require.EqualValues(t, 8, days, "of the quota, they are")
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.message_counts`).Scan(&rows))
	require.EqualValues(t, 4, rows)
}
