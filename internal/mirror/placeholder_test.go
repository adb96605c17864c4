package mirror_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	ordersTable = `CREATE TABLE orders (
		id bigint GENERATED ALWAYS AS IDENTITY, user_id text NOT NULL REFERENCES capydb_auth.users (id))`
	insertOrder        = `INSERT INTO orders (user_id) VALUES (capydb_auth.ensure_user($1))`
	selectPlaceholders = `SELECT coalesce(string_agg(record_id, ' ' ORDER BY record_id), '') FROM capydb_auth.placeholders`
)

func TestEnsureUser(t *testing.T) {
	t.Parallel()

	t.Run("AnOrderCanReferenceAUserWhoseEventIsOnItsWay", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		ctx := t.Context()
		_, err := pool.Exec(ctx, ordersTable)
		require.NoError(t, err)
		_, err = pool.Exec(ctx, `INSERT INTO orders (user_id) VALUES ('u1')`)
		require.Equal(t, pgerrcode.ForeignKeyViolation, pgdb.Code(err), "without the function it fails")

		before := time.Now()
		require.NoError(t, pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, insertOrder, "u1")
			return err
		}))
		require.Equal(t, "u1", one(t, pool, selectPlaceholders))
		var since time.Time
		require.NoError(t, pool.QueryRow(ctx, `SELECT since FROM capydb_auth.placeholders`).Scan(&since))
		require.WithinRange(t, since, before.Add(-time.Minute), time.Now().Add(time.Minute))
		require.Equal(t, "NULL", one(t, pool, selectKinds), "a placeholder is no change of a user")

		require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{update("e1", 1, "email", "ada@example.com")}))
		require.Empty(t, one(t, pool, selectPlaceholders))
		require.Equal(t, "created", one(t, pool, selectKinds))
		require.Equal(t, "NULL", one(t, pool, `SELECT before::text FROM capydb_auth.user_changes`))
		require.Equal(t, "ada@example.com auth0 true", one(t, pool, `
			SELECT concat_ws(' ', u.email, u.provider, (u.placeholder_since IS NULL)::text)
			FROM orders AS o JOIN capydb_auth.users AS u ON u.id = o.user_id`))

		_, err = pool.Exec(ctx, insertOrder, "u1")
		require.NoError(t, err)
		require.Equal(t, "ada@example.com", one(t, pool, selectEmail), "a user who is there stays as it is")
	})

	t.Run("ADeletionFillsAPlaceholderToo", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		ensureUser(t, pool, "u1")
		require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{deletion("e1", 1)}))
		require.Equal(t, "deleted", one(t, pool, selectKinds))
		require.Empty(t, one(t, pool, selectPlaceholders))
	})

	t.Run("APlaceholderInPlaceOfARemovedRowIsFilled", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		event := update("e9", 9, "email", "ada@example.com")
		event.NoLedger = true
		require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{event}))
		require.Equal(t, []string{"unchanged"}, apply(t, pool, []mirror.Event{sentAt(event, 10)}))
		_, err := pool.Exec(t.Context(), `DELETE FROM capydb_auth.users`)
		require.NoError(t, err)
		ensureUser(t, pool, "u1")
		require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{event}))
		require.Equal(t, "ada@example.com", one(t, pool, selectEmail))
	})

	t.Run("RefusesWhatIsNoID", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		long := strings.Repeat("ü", 512)
		refused := []*string{nil, new(string), new(long + "x")}
		for _, blank := range []string{" ", "\t\r\n", "\x01\x7f", "\u00a0\u3000", "\u00ad\u200b\u200d\u2060\ufeff", "\u3164\ufe0f", "\U000e0041\U000e0100"} {
			refused = append(refused, &blank)
		}
		for i, id := range refused {
			for _, ensure := range []string{"ensure_user", "ensure_organization"} {
				_, err := pool.Exec(t.Context(), `SELECT capydb_auth.`+ensure+`($1)`, id)
				require.Equal(t, pgerrcode.InvalidParameterValue, pgdb.Code(err), "%s of the id %d", ensure, i)
			}
		}
		for _, id := range []string{long, "0", " u 1 ", "ü\u200b", "\\", "^", "用户"} {
			ensureUser(t, pool, id)
		}
	})

	t.Run("ManyAtOnceMakeOneRow", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		_, err := pool.Exec(t.Context(), ordersTable)
		require.NoError(t, err)
		const sessions, rounds = 6, 20
		var all sync.WaitGroup
		errs := make(chan error, sessions*rounds+rounds)
		for range sessions {
			all.Go(func() {
				for i := range rounds {
					_, err := pool.Exec(context.Background(), insertOrder, update("", i).At.String())
					errs <- err
				}
			})
		}
		all.Go(func() { // and the events come at the same time
			for i := range rounds {
				e := update("e", i, "email", "ada@example.com")
				e.UserID = e.At.String()
				_, err := pool.Exec(context.Background(), `SELECT capydb_auth.apply_events(`+mirror.EventArray+`)`, mirror.EventArgs([]mirror.Event{e})...)
				errs <- err
			}
		})
		all.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		require.Equal(t, "20 20 20", one(t, pool, `
			SELECT concat_ws(' ', count(*), count(email), (SELECT count(*) FROM capydb_auth.user_changes WHERE kind = 'created'))
			FROM capydb_auth.users`))
	})

	t.Run("TheSecondSessionWaitsForTheFirstAndBothSucceed", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		ctx := t.Context()
		first, err := pool.Begin(ctx)
		require.NoError(t, err)
		_, err = first.Exec(ctx, `SELECT capydb_auth.ensure_user('u1')`)
		require.NoError(t, err)
		second := make(chan error, 1)
		go func() {
			_, err := pool.Exec(ctx, `SELECT capydb_auth.ensure_user('u1')`)
			second <- err
		}()
		waittest.Until(t, func() bool {
			return one(t, pool, `SELECT count(*)::text FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'
				AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`) == "1"
		})
		require.NoError(t, first.Rollback(ctx), "it is not there after all")
		require.NoError(t, <-second)
		require.Equal(t, "u1", one(t, pool, selectPlaceholders))
	})
}

func TestHistoryOfAPlaceholder(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	ensureUser(t, pool, "u1")
	history, err := newMirrors(t, pool).History(t.Context(), projectID(), "u1", 0)
	require.NoError(t, err)
	require.Nil(t, history.User.Provider)
	require.Nil(t, history.User.LastEventProcessed)
	require.NotNil(t, history.User.PlaceholderSince)
	require.Empty(t, history.Changes)
}

func TestEventsOutsideOfTheLedger(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	read := func(e mirror.Event) mirror.Event { e.ID, e.NoLedger = "backfill:1", true; return e }
	other := read(update("", 1, "email", "grace@example.com"))
	other.UserID = "u2"

	require.Equal(t, []string{"applied", "applied"}, apply(t, pool, []mirror.Event{read(update("", 2, "email", "old@example.com")), other}),
		"users of one run share its id")
	require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{update("e3", 3, "email", "new@example.com")}))
	require.Equal(t, []string{"stale"}, apply(t, pool, []mirror.Event{read(update("", 2, "email", "old@example.com"))}), "a page that comes late")
	require.Equal(t, []string{"unchanged"}, apply(t, pool, []mirror.Event{read(update("", 4, "email", "new@example.com"))}))
	require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{read(update("", 5, string(record.FirstName), "Ada"))}))
	delivered := update("e3", 6, string(record.FirstName), "Grace")
	delivered.NoLedger = true
	require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{delivered}), "the ledger is not asked")
	require.Equal(t, "new@example.com", one(t, pool, selectEmail))
	require.Equal(t, "created updated updated updated", one(t, pool, selectKinds))
	require.Equal(t, "e3", one(t, pool, `SELECT string_agg(event_id, ' ') FROM capydb_auth.processed_events`))
}
