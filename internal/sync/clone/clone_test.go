package clone_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// A clone has all records of all types, with what orders their events: an old event is stale in it as in its source, and a repeated
// one is a duplicate.
func TestEverythingIsCopied(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 2, 3, 1000} {
		t.Run(fmt.Sprint("Pages of ", page), func(t *testing.T) {
			t.Parallel()
			b := setup(t, "still", page)
			b.apply(t, aLittleOfAll()...)
			exec(t, b.source, `SELECT capydb_auth.ensure_user('not-yet')`)
			b.settle(t)
			b.same(t)
			require.Equal(t, "still 0", value[string](t, b.control, `SELECT phase || ' ' || changes_behind FROM authsync.clones`))
			require.NotZero(t, value[int64](t, b.control, `SELECT rows_copied FROM authsync.clones WHERE copied_at IS NOT NULL AND caught_up_at IS NOT NULL`))

			old, late := about(user("u1"), "old", 5, "email", "old@example.com"), about(user("u1"), "late", 20, "email", "late@example.com")
			repeated := aLittleOfAll()[0]
			repeated.InboxID = 99
			for _, events := range [][]mirror.Event{{old}, {late}, {repeated}} {
				results, err := b.mirrors.Apply(t.Context(), b.cloneID, events)
				require.NoError(t, err)
				require.Equal(t, b.apply(t, events...), results)
			}
			require.Equal(t, "late@example.com", value[string](t, b.clone, `SELECT email FROM capydb_auth.users WHERE id = 'u1'`))
		})
	}
}

// A clone that stands still stays as it is.
func TestStandingStill(t *testing.T) {
	t.Parallel()
	b := setup(t, "still", 100)
	b.apply(t, aLittleOfAll()...)
	b.settle(t)
	b.apply(t, about(user("u1"), "e20", 20, "email", "new@example.com"))
	_, done, err := clone.Step(t.Context(), b.config, b.cloneID)
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, "ada@example.com", value[string](t, b.clone, `SELECT email FROM capydb_auth.users WHERE id = 'u1'`))
}

// What changes in the source changes in a clone that follows, by whatever way it came; and the ledger and clocks of
// what changed no value come with the next full copy.
func TestFollowing(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 3)
	b.apply(t, aLittleOfAll()[:5]...)
	b.settle(t)
	b.apply(t, aLittleOfAll()[5:]...)
	read := about(user("u9"), "backfill:1", 30, "email", "read@example.com")
	read.NoLedger = true
	b.apply(t, read, about(user("u1"), "e31", 31, "first_name", "Augusta"))
	b.settle(t)
	b.sameValues(t)
	require.Equal(t, "following", value[string](t, b.control, `SELECT phase FROM authsync.clones`))
	b.apply(t, about(user("u1"), "e32", 32, "email", "ada@example.com")) // only moves the clock
	b.settle(t)
	b.sameValues(t)
	b.resync(t, "still")
	b.same(t)
}

// Rows of 1 MB, which compress well or not at all, are copied in pages that end in time.
func TestLongRows(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 1000)
	for i := range 12 {
		e := about(user(fmt.Sprint("u", i)), fmt.Sprint("e", i), i, "email", "x@example.com")
		e.Raw = fmt.Appendf(nil, `{"id": "u%d", "long": %q}`, i, strings.Repeat(fmt.Sprint("x", i), 1<<19))
		b.apply(t, e)
	}
	steps := 0
	for idle := false; !idle; steps++ {
		var err error
		idle, _, err = clone.Step(t.Context(), b.config, b.cloneID)
		require.NoError(t, err)
	}
	require.Greater(t, steps, 12+8, "a page has two or three of them")
	b.same(t)
	for i := range 12 {
		e := about(user(fmt.Sprint("u", i)), fmt.Sprint("f", i), 30+i, "email", "y@example.com")
		e.Raw = fmt.Appendf(nil, `{"id": "u%d", "long": %q}`, i, strings.Repeat(fmt.Sprint("y", i), 1<<19))
		b.apply(t, e)
	}
	b.settle(t)
	b.sameValues(t)
}

// Whatever the source's database has is read in its own order, which may be another one than the clone's.
func TestOtherCollations(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 2)
	collated := pgtest.Collated(t, "sv")
	b.move(b.cloneID, pgtest.URL(t, collated))
	require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, collated), b.cloneID, false))
	b.clone = collated
	for i, id := range []string{"a", "B", "ä", "z", "Å", "å", "Z", "_", "-a", "a-", "o"} {
		b.apply(t, about(user(id), fmt.Sprint("e", i), i, "email", "x@example.com"))
	}
	b.settle(t)
	require.Equal(t, 11, value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users`))
	b.resync(t, "following")
	require.Equal(t, 11, value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users`), "nothing is taken for what the source lacks")
}

// Two workers at once, as when one was presumed dead: nothing is copied twice into the feed.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 1)
	b.apply(t, aLittleOfAll()...)
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			for {
				idle, _, err := clone.Step(context.Background(), b.config, b.cloneID)
				switch {
				case errors.Is(err, clone.ErrMoved):
				case idle, err != nil:
					errs <- err
					return
				}
			}
		}()
	}
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
	b.settle(t)
	b.same(t)
}
