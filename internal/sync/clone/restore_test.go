package clone_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// restoreSource puts a copy in the place of the source, as a restore from a backup does, and lets it be written to again behind a change.
func (b *testBundle) restoreSource(t *testing.T, copied string, resumedFrom int64) {
	t.Helper()
	applied := value[int64](t, b.source, `SELECT applied_to FROM capydb_auth.mirror_progress`)
	pgtest.Restore(t, b.source, copied)
	exec(t, b.source, `SELECT capydb_auth.resume_mirror($1, $2)`, applied, resumedFrom)
}

func (b *testBundle) newest(t *testing.T) int64 {
	t.Helper()
	return value[int64](t, b.source, `SELECT capydb_auth.change_cursor(NULL)`)
}

// feed is the feed of the clone behind a change, as its readers see it.
func (b *testBundle) feed(t *testing.T, after int64) (all []string) {
	t.Helper()
	rows, err := b.clone.Query(t.Context(), `
		SELECT format('%s %s %s %s %s -> %s', c.kind, c.record_id, c.event_id, array(SELECT n FROM unnest(c.changed) AS n ORDER BY n), c.before - 'raw', c.after - 'raw')
		FROM capydb_auth.record_changes AS c WHERE c.id > $1 ORDER BY c.id`, after)
	require.NoError(t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func (b *testBundle) read(t *testing.T) int64 {
	t.Helper()
	return value[int64](t, b.clone, `SELECT capydb_auth.change_cursor(NULL)`)
}

// What a restored source makes once more is in the clone's feed once, in whatever sequence it comes back; what is new is, too.
func TestRepetitionsOfTheSource(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 3)
	b.apply(t, about(user("u1"), "e1", 1, "email", "one@example.com"), about(user("u3"), "e2", 2, "email", "c@example.com"))
	b.apply(t, about(organization("o1"), "e3", 3, "name", "Acme"))
	b.settle(t)
	copied := pgtest.Copy(t, b.source)
	lost := []mirror.Event{
		about(user("u1"), "e4", 14, "email", "two@example.com"),
		about(user("u1"), "e5", 12, "first_name", "Ada"), // comes late
		about(user("u1"), "e6", 13, "email", "stale@example.com"),
		about(user("u2"), "e7", 15, "email", "b@example.com"),
		about(member("o1", "u2"), "e8", 16, "role", "admin"),
		deletion(user("u2"), "e9", 17), // and with it the membership
		deletion(user("u3"), "e10", 18),
		about(user("u3"), "e11", 19, "email", "back@example.com"),
		about(user("u4"), "e12", 20, "email", "d@example.com"),
	}
	for _, e := range lost {
		b.apply(t, e)
	}
	read := about(user("u5"), "backfill:1", 21, "email", "e@example.com")
	read.NoLedger = true
	b.apply(t, read)
	b.settle(t)
	b.sameValues(t)
	before, told := b.read(t), b.newest(t)

	b.restoreSource(t, copied, told)
	b.settle(t)
	b.apply(t, lost...) // all at once, by their clocks
	b.settle(t)
	require.Empty(t, b.feed(t, before))
	again := about(user("u5"), "reconcile:2", 21, "email", "e@example.com") // found missing
	again.NoLedger = true
	b.apply(t, again)
	b.settle(t)
	require.Empty(t, b.feed(t, before))
	for table := range tables() {
		if table != "processed_events" && table != "changes" {
			require.Equal(t, content(t, b.source, table, true), content(t, b.clone, table, true), table)
		}
	}

	b.apply(t, about(user("u1"), "e30", 30, "email", "new@example.com"), about(user("u6"), "e31", 31, "email", "f@example.com"))
	b.apply(t, deletion(user("u4"), "e32", 32))
	b.settle(t)
	now := b.feed(t, before)
	require.Len(t, now, 3)
	require.Contains(t, now[0], `updated u1 e30 {email,raw} {"email": "two@example.com"} -> {"email": "new@example.com"}`)
	require.Contains(t, now[1], `created u6 e31`)
	require.Contains(t, now[2], `deleted u4 e32`)
	b.resync(t, "still")
	for table := range tables() {
		if table != "changes" {
			require.Equal(t, content(t, b.source, table, false), content(t, b.clone, table, false), table)
		}
	}
}

// A new event that comes before what was lost is told as of what the readers of the clone know. It has set the record back, so what follows
// is told as well.
func TestNewsBeforeRepetitions(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	b.settle(t)
	copied := pgtest.Copy(t, b.source)
	lost := []mirror.Event{
		about(user("u1"), "e1", 1, "email", "one@example.com", "first_name", "Ada"), about(user("u2"), "e2", 2, "email", "b@example.com"),
		about(user("u3"), "e3", 3, "email", "c@example.com"), deletion(user("u3"), "e4", 4), about(user("u4"), "e5", 5, "email", "d@example.com"),
	}
	b.apply(t, lost...)
	b.settle(t)
	before, told := b.read(t), b.newest(t)
	b.restoreSource(t, copied, told)
	b.apply(t,
		about(user("u1"), "n1", 30, "email", "new@example.com"), deletion(user("u2"), "n2", 31), about(user("u3"), "n3", 32, "email", "c@example.com"),
		about(user("u4"), "n4", 33, "email", "d@example.com"))
	b.settle(t)
	b.apply(t, lost...)
	b.settle(t)
	now := b.feed(t, before)
	require.Len(t, now, 5, "%s", now)
	require.Contains(t, now[0], `updated u1 n1 {email,first_name,raw} {"email": "one@example.com", "first_name": "Ada"} ->`)
	require.Contains(t, now[1], `deleted u2 n2`)
	require.Contains(t, now[2], `restored u3 n3`)
	require.Contains(t, now[3], `updated u1 e1 {first_name}`)
	require.Contains(t, now[4], `updated u2 e2 {email,raw}`)
	b.sameLatest(t)
}

// sameLatest requires that the newest change of each record says the same in both feeds.
func (b *testBundle) sameLatest(t require.TestingT) {
	const latest = `
		SELECT DISTINCT ON (c.record_type, c.record_id) format('%s %s %s', c.record_type, c.record_id, jsonb_strip_nulls(r.record_row - 'raw'))
		FROM capydb_auth.changes AS c CROSS JOIN LATERAL capydb_auth.changes_by_id(ARRAY[c.id]) AS r
		ORDER BY c.record_type, c.record_id, c.id DESC`
	var all [2][]string
	for i, pool := range []interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}{b.source, b.clone} {
		rows, err := pool.Query(context.Background(), latest)
		require.NoError(t, err)
		all[i], err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
	}
	require.Equal(t, all[0], all[1])
}

// A clone that had not copied all before the source was restored copies the rest; and one that had copied more than anybody knew of copies
// changes with these ids once more, because they are others.
func TestCursorOfTheCloneAndTheLoss(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	b.settle(t)
	copied := pgtest.Copy(t, b.source)
	lost := []mirror.Event{about(user("u1"), "e1", 1, "email", "a@example.com"), about(user("u2"), "e2", 2, "email", "b@example.com")}
	b.apply(t, lost[0])
	b.settle(t)
	b.apply(t, lost[1])
	b.restoreSource(t, copied, b.newest(t))
	b.apply(t, lost...)
	b.settle(t)
	require.Len(t, b.feed(t, 0), 2)
	b.sameLatest(t)

	copied = pgtest.Copy(t, b.source)
	known := b.newest(t)
	b.apply(t, about(user("u3"), "e3", 3, "email", "c@example.com"), about(user("u4"), "e4", 4, "email", "d@example.com"))
	b.settle(t)
	b.restoreSource(t, copied, known)
	b.apply(t, about(user("u5"), "e5", 5, "email", "e@example.com"), about(user("u3"), "e3", 3, "email", "c@example.com"))
	b.settle(t)
	now := b.feed(t, 0)
	require.Len(t, now, 5)
	require.Contains(t, now[4], "created u5 e5")
}

// A source that loses something again while it is repaired, and a clone that goes back itself, change nothing of that.
func TestLossesInTurn(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 2)
	b.settle(t)
	copied := pgtest.Copy(t, b.source)
	lost := []mirror.Event{
		about(user("u1"), "e1", 1, "email", "a@example.com"), about(user("u1"), "e2", 2, "email", "b@example.com"),
		about(user("u2"), "e3", 3, "email", "c@example.com"), deletion(user("u2"), "e4", 4),
	}
	for _, e := range lost {
		b.apply(t, e)
	}
	b.settle(t)
	first := b.newest(t)
	cloned := pgtest.Copy(t, b.clone)
	b.restoreSource(t, copied, first)
	b.apply(t, lost[:2]...)
	b.settle(t)
	b.restoreSource(t, copied, b.newest(t))
	b.apply(t, about(user("u3"), "n1", 30, "email", "n@example.com"))
	b.settle(t)
	b.apply(t, lost...)
	b.settle(t)
	require.Len(t, b.feed(t, 0), len(lost)+1)
	b.sameLatest(t)

	pgtest.Restore(t, b.clone, cloned)
	b.settle(t)
	require.Len(t, b.feed(t, 0), len(lost)+1)
	b.sameLatest(t)
}

// Rows of the clone are copied once more when the source is repaired, not before: what it lacks until then is not removed.
func TestRowsAreCopiedOnceTheSourceIsRepaired(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"following", "still"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "following", 100)
			b.settle(t)
			copied := pgtest.Copy(t, b.source)
			read := about(user("u1"), "backfill:1", 1, "email", "a@example.com")
			read.NoLedger = true
			b.apply(t, read, about(user("u2"), "e2", 2, "email", "b@example.com"))
			b.settle(t)
			exec(t, b.control, `
				INSERT INTO authsync.mirror_repairs (project_id, cause, epoch, known_applied_to, found_applied_to, found_at, last_inbox_id, lost_change_id, lost_since)
				VALUES ($1, 'rewound', gen_random_uuid(), 2, 1, now(), 0, 2, '-infinity')`, b.sourceID)
			exec(t, b.control, `UPDATE authsync.clones SET mode = $1, phase = 'changes'`, mode)
			b.restoreSource(t, copied, b.newest(t))
			steps := func() (err error) {
				for range 100 {
					var idle bool
					if idle, _, err = clone.Step(t.Context(), b.config, b.cloneID); idle || err != nil {
						break
					}
				}
				return err
			}
			const users = `SELECT string_agg(u.id, ' ' ORDER BY u.id) FROM capydb_auth.users AS u`
			if err := steps(); mode == "still" {
				require.ErrorContains(t, err, "is being repaired")
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, "u1 u2", value[string](t, b.clone, users))
			b.apply(t, about(user("u2"), "e2", 2, "email", "b@example.com"))
			exec(t, b.control, `UPDATE authsync.mirror_repairs SET finished_at = now()`)
			require.NoError(t, steps())
			require.Equal(t, "u2", value[string](t, b.clone, users))
			require.Len(t, b.feed(t, 0), 2)
			require.Equal(t, mode, value[string](t, b.control, `SELECT phase FROM authsync.clones`))
		})
	}
}
