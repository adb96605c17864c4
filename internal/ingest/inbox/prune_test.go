package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// firstDay is the first of the days of a pruneBundle; the last is the day of now.
func firstDay() time.Time { return time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC) }

// pruneBundle is an inbox of two weeks, with projects that keep messages for different times.
type pruneBundle struct {
	pool     *pgxpool.Pool
	projects map[string]uuid.UUID
}

// newPruneBundle makes projects by name; 0 days is the default.
func newPruneBundle(t *testing.T, keep map[string]int) *pruneBundle {
	t.Helper()
	b := &pruneBundle{pool: pgtest.Control(t), projects: map[string]uuid.UUID{}}
	exec(t, b.pool, `SELECT authsync.make_inbox_partitions('2026-08-01', 20)`)
	for name, days := range keep {
		b.projects[name] = uuid.New()
		exec(t, b.pool, `INSERT INTO authsync.projects (id, name, database_url_sealed, keep_inbox) VALUES ($1, $2, '', nullif($3, 0))`, b.projects[name], name, days)
	}
	return b
}

// fill adds finished messages of a day, each with two outcomes, and counts them as the receiver does.
func (b *pruneBundle) fill(t require.TestingT, project uuid.UUID, day, messages int) {
	at := firstDay().AddDate(0, 0, day).Add(10 * time.Hour)
	_, err := b.pool.Exec(context.Background(), `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, message_id, received_at, headers, body)
			SELECT $1, 'clerk', 'm' || n, $2::timestamptz + n * interval '1 second', '{}', 'body' FROM generate_series(1, $3::integer) AS n
			RETURNING id, received_at, project_id
		), o AS (
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, outcome, applied_at)
			SELECT i.id, n, i.received_at, i.project_id, 'e' || i.id, 'applied', i.received_at FROM i CROSS JOIN generate_series(0, 1) AS n
		)
		INSERT INTO authsync.inbox_usage (project_id, day, message_count, byte_count)
		SELECT p.id, ($2::timestamptz AT TIME ZONE 'UTC')::date, $3, $3 * 100 FROM authsync.projects AS p WHERE p.id = $1
		ON CONFLICT (project_id, day) DO UPDATE SET
			message_count = inbox_usage.message_count + excluded.message_count, byte_count = inbox_usage.byte_count + excluded.byte_count`, project, at, messages)
	require.NoError(t, err)
}

// left is how many messages of each project and day there are, with twice as many outcomes.
func (b *pruneBundle) left(t require.TestingT) string {
	var text string
	require.NoError(t, b.pool.QueryRow(context.Background(), `
		SELECT coalesce(string_agg(concat_ws(' ', coalesce(p.name, 'gone'), s.day, s.messages, s.outcomes), E'\n' ORDER BY coalesce(p.name, 'gone'), s.day), '')
		FROM (
			SELECT i.project_id, (i.received_at AT TIME ZONE 'UTC')::date - date '2026-08-01' AS day, count(DISTINCT i.id) AS messages, count(e.inbox_id) AS outcomes
			FROM authsync.inbox AS i
			LEFT JOIN authsync.event_outcomes AS e ON e.inbox_id = i.id AND e.received_at = i.received_at
			GROUP BY 1, 2
		) AS s
		LEFT JOIN authsync.projects AS p ON p.id = s.project_id`).Scan(&text))
	return text
}

func (b *pruneBundle) pruner(at time.Time) inbox.Pruner {
	return inbox.Pruner{
		Pool: b.pool, Default: 3 * 24 * time.Hour, Batch: 3, Now: func() time.Time { return at },
		Wait: func(context.Context, time.Duration) error { return nil },
	}
}

// Whatever projects keep, how much they have and when it runs: exactly what is within its retention is left, and what is not
// finished. Nothing of a rewrite is left, and what is counted is what there is.
func TestPruneLeavesExactlyWhatIsKept(t *testing.T) {
	t.Parallel()
	const lastDay = 6
	names := []string{"a", "b", "c"}
	b := newPruneBundle(t, map[string]int{"a": 0, "b": 0, "c": 0})
	gone := uuid.New()
	rapid.Check(t, func(rt *rapid.T) {
		reset(rt, b.pool)
		keep := map[string]int{"gone": 3}
		var want []string
		for _, name := range names {
			keep[name] = 3
			days := rapid.Ptr(rapid.IntRange(1, lastDay), true).Draw(rt, "days of "+name)
			if days != nil {
				keep[name] = *days
			}
			_, err := b.pool.Exec(t.Context(), `UPDATE authsync.projects SET keep_inbox = $2 WHERE id = $1`, b.projects[name], days)
			require.NoError(rt, err)
		}
		now := firstDay().AddDate(0, 0, lastDay).Add(time.Duration(rapid.IntRange(0, 23).Draw(rt, "hour")) * time.Hour)
		for _, name := range append(names, "gone") {
			project, known := b.projects[name]
			if !known {
				project = gone
			}
			for day := range lastDay + 1 {
				messages := rapid.SampledFrom([]int{0, 0, 1, 2, 5, 20}).Draw(rt, fmt.Sprint(name, day))
				if messages > 0 {
					b.fill(rt, project, day, messages)
				}
				isHeld := known && messages > 0 && rapid.IntRange(0, 9).Draw(rt, "held") == 0
				if isHeld {
					_, err := b.pool.Exec(t.Context(), `
						INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
						SELECT $1, ARRAY[i.id], 1, i.received_at, i.received_at FROM authsync.inbox AS i
						WHERE i.project_id = $1 AND (i.received_at AT TIME ZONE 'UTC')::date - date '2026-08-01' = $2 ORDER BY i.id LIMIT 1`, project, day)
					require.NoError(rt, err)
				}
				if messages > 0 && (isHeld || firstDay().AddDate(0, 0, day+1).After(now.Truncate(24*time.Hour).AddDate(0, 0, -keep[name]))) {
					want = append(want, fmt.Sprint(name, " ", day, " ", messages, " ", 2*messages))
				}
			}
		}
		slices.SortFunc(want, func(x, y string) int {
			var xn, yn string
			var xd, yd int
			_, _ = fmt.Sscan(x, &xn, &xd)
			_, _ = fmt.Sscan(y, &yn, &yd)
			if xn != yn {
				return strings.Compare(xn, yn)
			}
			return xd - yd
		})
		require.NoError(rt, b.pruner(now).Prune(t.Context()))
		require.Equal(rt, strings.Join(want, "\n"), b.left(rt))
		require.Empty(rt, b.leftovers(rt))
		require.Empty(rt, b.miscounted(rt))
	})
}

// reset empties the inbox and makes the days that were dropped.
func reset(t require.TestingT, pool *pgxpool.Pool) {
	for _, statement := range []string{
		`DELETE FROM authsync.inbox`, `DELETE FROM authsync.event_outcomes`, `DELETE FROM authsync.inbox_usage`, `DELETE FROM authsync.inbox_pending`,
		`SELECT authsync.make_inbox_partitions('2026-08-01', 10)`,
	} {
		_, err := pool.Exec(context.Background(), statement)
		require.NoError(t, err)
	}
}

// leftovers are tables, triggers and rows of rewrites.
func (b *pruneBundle) leftovers(t require.TestingT) string {
	var text string
	require.NoError(t, b.pool.QueryRow(context.Background(), `
		SELECT concat_ws(' ',
			(SELECT string_agg(c.relname, ' ') FROM pg_class AS c WHERE c.relname ~ '^(inbox|event_outcomes)_\d+_kept$'),
			(SELECT string_agg(g.tgrelid::regclass::text, ' ') FROM pg_trigger AS g WHERE g.tgname = 'note_inbox_change'),
			(SELECT string_agg(c.relname, ' ') FROM pg_class AS c JOIN pg_constraint AS n ON n.conrelid = c.oid WHERE n.conname = 'day'),
			(SELECT string_agg(w::text, ' ') FROM authsync.inbox_rewrites AS w),
			(SELECT string_agg(n::text, ' ') FROM authsync.inbox_rewrite_changes AS n))`).Scan(&text))
	return text
}

// miscounted are projects and days of which authsync.inbox_usage has another number than the inbox.
func (b *pruneBundle) miscounted(t require.TestingT) string {
	var text string
	require.NoError(t, b.pool.QueryRow(context.Background(), `
		SELECT coalesce(string_agg(format('%s %s: %s counted, %s there, %s bytes', p.name, day, u.message_count, i.messages, u.byte_count), E'\n'), '')
		FROM (
			SELECT project_id, (received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS messages FROM authsync.inbox GROUP BY 1, 2
		) AS i
		FULL JOIN authsync.inbox_usage AS u USING (project_id, day)
		JOIN authsync.projects AS p ON p.id = project_id
		WHERE u.message_count IS DISTINCT FROM i.messages OR u.byte_count IS DISTINCT FROM u.message_count * 100`).Scan(&text))
	return text
}

// A process may die after any step, also several times in a row; and settings may change before the next run.
func TestPruneGoesOnAfterItDied(t *testing.T) {
	t.Parallel()
	now := firstDay().AddDate(0, 0, 14)
	errDied := errors.New("the process has died")
	for _, change := range []struct {
		name, statement string
		want            string
		tooLate         string // if it comes after the day was rewritten
	}{
		{"Nothing", `SELECT`, "long 2 8 16", "long 2 8 16"},
		{"AnotherKeepsItToo", `UPDATE authsync.projects SET keep_inbox = 30 WHERE name = 'other'`, "long 2 8 16\nother 2 9 18", "long 2 8 16"},
		{"NobodyKeepsIt", `UPDATE authsync.projects SET keep_inbox = NULL`, "", ""},
		{"AllKeepIt", `UPDATE authsync.projects SET keep_inbox = 30`, "long 2 8 16\nother 2 9 18\nthird 2 9 18", "long 2 8 16"},
	} {
		t.Run(change.name, func(t *testing.T) {
			t.Parallel()
			b := newPruneBundle(t, map[string]int{"long": 0, "other": 0, "third": 0})
			for after := 1; ; after++ {
				reset(t, b.pool)
				exec(t, b.pool, `UPDATE authsync.projects SET keep_inbox = CASE name WHEN 'long' THEN 30 END`)
				for name, messages := range map[string]int{"long": 8, "other": 9, "third": 9} {
					b.fill(t, b.projects[name], 2, messages)
				}
				p, steps, last := b.pruner(now), 0, ""
				p.Step = func(step string) error {
					if steps++; steps == after {
						last = step
						return errDied
					}
					return nil
				}
				err := p.Prune(t.Context())
				if last == "" {
					require.NoError(t, err)
					require.Greater(t, steps, 5)
					return
				}
				if last != inbox.StepDropped {
					require.ErrorIs(t, err, errDied)
					require.Contains(t, b.left(t), "long 2 8 16", "nothing is lost on the way")
				}
				exec(t, b.pool, change.statement)
				require.NoError(t, b.pruner(now).Prune(t.Context()))
				want := change.want
				if last == inbox.StepFinished || last == inbox.StepDropped {
					want = change.tooLate
				}
				require.Equal(t, want, b.left(t), "after step %d, %s", after, last)
				require.Empty(t, b.leftovers(t), "after step %d, %s", after, last)
				require.Empty(t, b.miscounted(t), "after step %d, %s", after, last)
			}
		})
	}
}

// Replays, erasures and late messages write to a day at any moment of its rewrite, and find their writes in what takes its place.
func TestWritesDuringARewriteAreKept(t *testing.T) {
	t.Parallel()
	now := firstDay().AddDate(0, 0, 14)
	steps := []string{}
	for at := 0; at == 0 || at < len(steps); at++ {
		b := newPruneBundle(t, map[string]int{"long": 30, "other": 0})
		long := b.projects["long"]
		b.fill(t, long, 2, 7)
		b.fill(t, b.projects["other"], 2, 20)
		exec(t, b.pool, `UPDATE authsync.event_outcomes SET outcome = 'failed', applied_at = NULL WHERE project_id = $1 AND ordinal = 1`, long)
		in := newInbox(t, b.pool, inbox.Config{})
		ids := value[[]int64](t, b.pool, `SELECT array_agg(id ORDER BY id) FROM authsync.inbox WHERE project_id = $1`, long)
		p, step := b.pruner(now), 0
		write := func() {
			for n, id := range ids {
				received := value[time.Time](t, b.pool, `SELECT received_at FROM authsync.inbox WHERE id = $1`, id)
				record(t, b.pool, in, inbox.Outcome{
					InboxID: id, Ordinal: 1, ReceivedAt: received, ProjectID: long, EventID: fmt.Sprint("e", id), Outcome: inbox.Stale, Reason: fmt.Sprint("again ", n),
				})
				exec(t, b.pool, `UPDATE authsync.inbox SET body = 'erased' WHERE id = $1 AND received_at = $2 AND project_id = $3`, id, received, long)
			}
			b.fill(t, long, 2, 1)
			exec(t, b.pool, `DELETE FROM authsync.inbox WHERE id = $1`, ids[3])
			exec(t, b.pool, `DELETE FROM authsync.event_outcomes WHERE inbox_id = $1`, ids[3])
		}
		p.Step = func(name string) error {
			if at == 0 {
				steps = append(steps, name)
			}
			if step == at {
				write()
			}
			step++
			return nil
		}
		require.NoError(t, p.Prune(t.Context()))
		require.Contains(t, steps, inbox.StepFinished)
		if steps[at] == inbox.StepFinished {
			return // it is in place
		}
		require.Equal(t, "long 2 7 14", b.left(t), "written after step %d, %s", at, steps[at])
		require.Equal(t, "6 erased, 6 stale: again 0 again 1 again 2 again 4 again 5 again 6", value[string](t, b.pool, `
			SELECT format('%s erased, %s stale: %s',
				(SELECT count(*) FROM authsync.inbox WHERE body = 'erased'),
				(SELECT count(*) FROM authsync.event_outcomes WHERE outcome = 'stale'),
				(SELECT string_agg(reason, ' ' ORDER BY inbox_id) FROM authsync.event_outcomes WHERE outcome = 'stale'))`),
			"written after step %d, %s", at, steps[at])
		require.Empty(t, b.leftovers(t))
	}
}

// A writer that has not committed when its message is copied is followed, and the day is not put in place under it.
func TestARewriteWaitsForWriters(t *testing.T) {
	t.Parallel()
	now := firstDay().AddDate(0, 0, 14)
	b := newPruneBundle(t, map[string]int{"long": 30, "other": 0})
	b.fill(t, b.projects["long"], 2, 7)
	b.fill(t, b.projects["other"], 2, 20)
	p := b.pruner(now)
	writer, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = writer.Rollback(context.WithoutCancel(t.Context())) }()
	written, waited := false, 0
	p.Step = func(step string) error {
		if step == inbox.StepBegun && !written {
			written = true
			_, err := writer.Exec(t.Context(), `UPDATE authsync.inbox SET body = 'late' WHERE project_id = $1`, b.projects["long"])
			return err
		}
		return nil
	}
	p.Wait = func(ctx context.Context, d time.Duration) error {
		if d == 500*time.Millisecond { // the lock was not to be had
			if waited++; waited == 2 {
				return writer.Commit(ctx)
			}
		}
		return nil
	}
	require.NoError(t, p.Prune(t.Context()))
	require.Equal(t, 2, waited)
	require.Equal(t, "long 2 7 14", b.left(t))
	require.Equal(t, int64(7), value[int64](t, b.pool, `SELECT count(*) FROM authsync.inbox WHERE body = 'late'`))
}

// The partition that takes a day's place is like those of other days: the same indexes, and found by its name.
func TestARewrittenDayIsLikeOthers(t *testing.T) {
	t.Parallel()
	b := newPruneBundle(t, map[string]int{"long": 30, "other": 0})
	b.fill(t, b.projects["long"], 2, 2)
	b.fill(t, b.projects["other"], 2, 20)
	const shape = `
		SELECT string_agg(replace(replace(d, '20260803', 'X'), '20260820', 'X'), E'\n' ORDER BY replace(replace(d, '20260803', 'X'), '20260820', 'X'))
		FROM (
			SELECT regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX \S+ ON', 'INDEX ON') || ' ' || EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid) AS d
			FROM pg_index AS i WHERE i.indrelid IN (('authsync.inbox_' || $1)::regclass, ('authsync.event_outcomes_' || $1)::regclass)
			UNION ALL
			SELECT pg_get_constraintdef(c.oid) FROM pg_constraint AS c WHERE c.conrelid IN (('authsync.inbox_' || $1)::regclass, ('authsync.event_outcomes_' || $1)::regclass)
		) AS d`
	require.NoError(t, b.pruner(firstDay().AddDate(0, 0, 14)).Prune(t.Context()))
	require.Equal(t, "long 2 2 4", b.left(t))
	require.Equal(t, value[string](t, b.pool, shape, "20260820"), value[string](t, b.pool, shape, "20260803"))
	// When its time has come, it is dropped as any other.
	require.NoError(t, b.pruner(firstDay().AddDate(0, 0, 40)).Prune(t.Context()))
	require.Empty(t, b.left(t))
	require.Zero(t, value[int64](t, b.pool, `SELECT count(*) FROM authsync.inbox_bounds WHERE from_day = '2026-08-03'`))
}

// Who keeps a day from the last moment on finds it.
func TestASettingThatChangesDuringARewrite(t *testing.T) {
	t.Parallel()
	b := newPruneBundle(t, map[string]int{"long": 30, "other": 0, "third": 0})
	for name, messages := range map[string]int{"long": 4, "other": 2, "third": 20} {
		b.fill(t, b.projects[name], 2, messages)
	}
	p, changed := b.pruner(firstDay().AddDate(0, 0, 14)), false
	p.Step = func(step string) error {
		if step == inbox.StepFollowed && !changed {
			changed = true
			exec(t, b.pool, `UPDATE authsync.projects SET keep_inbox = 30 WHERE name = 'other'`)
		}
		return nil
	}
	require.NoError(t, p.Prune(t.Context()))
	require.True(t, changed)
	require.Equal(t, "long 2 4 8\nother 2 2 4", b.left(t))
	require.Empty(t, b.leftovers(t))
	require.Empty(t, b.miscounted(t))
}

// What is counted is what there is also halfway.
func TestWhatIsCountedWhileAProjectIsPruned(t *testing.T) {
	t.Parallel()
	b := newPruneBundle(t, map[string]int{"long": 30, "other": 0})
	b.fill(t, b.projects["long"], 2, 20)
	b.fill(t, b.projects["other"], 2, 7)
	p, deleted := b.pruner(firstDay().AddDate(0, 0, 14)), 0
	p.Step = func(step string) error {
		if step == inbox.StepDropped { // a day without messages
			return nil
		}
		require.Equal(t, inbox.StepDeleted, step)
		deleted++
		require.Empty(t, b.miscounted(t), "after %d batches", deleted)
		return nil
	}
	require.NoError(t, p.Prune(t.Context()))
	require.Equal(t, 4, deleted, "three, three, one, and none")
	require.Equal(t, "long 2 20 40", b.left(t))
}
