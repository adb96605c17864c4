package mirror_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// one reads a single text, NULL as "NULL".
func one(t *testing.T, pool *pgxpool.Pool, query string, args ...any) string {
	t.Helper()
	var s *string
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&s))
	if s == nil {
		return "NULL"
	}
	return *s
}

const (
	selectEmail   = `SELECT email FROM capydb_auth.users WHERE id = 'u1'`
	selectDeleted = `SELECT to_char(deleted_at AT TIME ZONE 'UTC', 'SS') FROM capydb_auth.users WHERE id = 'u1'`
	selectKinds   = `SELECT string_agg(kind, ' ' ORDER BY id) FROM capydb_auth.user_changes WHERE user_id = 'u1'`
)

// TestOrderingRules states the rules one by one, for readers; the properties cover the rest.
func TestOrderingRules(t *testing.T) {
	t.Parallel()
	created := update("e1", 1, "email", "old@example.com")
	updated := update("e2", 2, "email", "new@example.com")
	deleted := deletion("e3", 3)
	restored := update("e4", 4, "email", "back@example.com")

	cases := map[string]struct {
		events                         []mirror.Event
		outcomes, email, gone, changes string
	}{
		"NewerEventWins":               {[]mirror.Event{created, updated}, "applied applied", "new@example.com", "NULL", "created updated"},
		"OlderEventKeepsNewerEmail":    {[]mirror.Event{updated, created}, "applied stale", "new@example.com", "NULL", "created"},
		"RepetitionIsADuplicate":       {[]mirror.Event{created, again(created)}, "applied duplicate", "old@example.com", "NULL", "created"},
		"DeletionMarksTheRow":          {[]mirror.Event{created, deleted}, "applied applied", "old@example.com", "03", "created deleted"},
		"DeletionBeforeCreation":       {[]mirror.Event{deleted, created}, "applied applied", "old@example.com", "03", "deleted updated"},
		"OlderUpdateDoesNotResurrect":  {[]mirror.Event{created, deleted, updated}, "applied applied applied", "new@example.com", "03", "created deleted updated"},
		"NewerEventRestores":           {[]mirror.Event{created, deleted, restored}, "applied applied applied", "back@example.com", "NULL", "created deleted restored"},
		"LateDeletionAfterRestoration": {[]mirror.Event{created, restored, deleted}, "applied applied stale", "back@example.com", "NULL", "created updated"},
		"TombstoneAlone":               {[]mirror.Event{deleted}, "applied", "NULL", "03", "deleted"},
		"LateEventFillsWhatIsUnsaid":   {[]mirror.Event{update("e5", 5, "first_name", "Ada"), created}, "applied applied", "old@example.com", "NULL", "created updated"},
		"EqualClocksLaterSentWins":     {[]mirror.Event{sentAt(update("z", 1, "email", "first@example.com"), 1), sentAt(update("a", 1, "email", "second@example.com"), 2)}, "applied applied", "second@example.com", "NULL", "created updated"},
		"EqualClocksGreaterIDWins":     {[]mirror.Event{update("z", 1, "email", "z@example.com"), update("a", 1, "email", "a@example.com")}, "applied stale", "z@example.com", "NULL", "created"},
		"SameValueAgainIsNoChange":     {[]mirror.Event{created, update("e2", 2, "email", "old@example.com")}, "applied applied", "old@example.com", "NULL", "created"},
		"SameIDOfAnotherUserIsAnother": {[]mirror.Event{created, of("u2", created)}, "applied applied", "old@example.com", "NULL", "created"},
		"SameIDOfAnotherProviderIsTwo": {[]mirror.Event{created, from(provider.Clerk, updatedAs("e1", updated))}, "applied applied", "new@example.com", "NULL", "created updated"},
		"WorkerRepeatsItsOwnDelivery":  {[]mirror.Event{created, created}, "applied applied", "old@example.com", "NULL", "created"},
		"DigestRepeatedWithinTenMinutes": {
			[]mirror.Event{digest(deletion("sha256:1", 1), 0), digest(update("e2", 2, "email", "a@example.com"), 1), digest(deletion("sha256:1", 3), 9)},
			"applied applied duplicate", "a@example.com", "NULL", "deleted restored",
		},
		"DigestAnHourLaterIsAnotherEvent": {
			[]mirror.Event{digest(deletion("sha256:1", 1), 0), digest(update("e2", 2, "email", "a@example.com"), 1), digest(deletion("sha256:1", 3), 60)},
			"applied applied applied", "a@example.com", "03", "deleted restored deleted",
		},
	}
	for name, c := range cases {
		for _, batched := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/batched=%t", name, batched), func(t *testing.T) {
				t.Parallel()
				pool := pgtest.Project(t)
				var outcomes []string
				if batched {
					outcomes = apply(t, pool, c.events)
				} else {
					for _, e := range c.events {
						outcomes = append(outcomes, apply(t, pool, []mirror.Event{e})...)
					}
				}
				require.Equal(t, c.outcomes, strings.Join(outcomes, " "))
				require.Equal(t, c.email, one(t, pool, selectEmail))
				require.Equal(t, c.gone, one(t, pool, selectDeleted))
				require.Equal(t, c.changes, one(t, pool, selectKinds))
			})
		}
	}
}

// again is the same event with another delivery.
func again(e mirror.Event) mirror.Event {
	e.InboxID += 100
	return e
}

func sentAt(e mirror.Event, second int) mirror.Event {
	e.SentAt = time.Date(2026, 3, 1, 12, 1, second, 0, time.UTC)
	return e
}

func of(user string, e mirror.Event) mirror.Event {
	e.UserID = user
	return again(e)
}

func from(name string, e mirror.Event) mirror.Event {
	e.Provider = name
	return again(e)
}

func updatedAs(id string, e mirror.Event) mirror.Event {
	e.ID = id
	return e
}

// digest marks the event's id as a digest, received at the given minute.
func digest(e mirror.Event, minute int) mirror.Event {
	e.IDIsDigest = true
	e.InboxID = int64(minute)
	e.ReceivedAt = time.Date(2026, 3, 1, 13, minute, 0, 0, time.UTC)
	return e
}

func TestLastEventProcessedIsTheNewestClock(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	apply(t, pool, []mirror.Event{deletion("e3", 3), update("e1", 1, "email", "a@example.com")})
	require.Equal(t, "03", one(t, pool, `SELECT to_char(last_event_processed AT TIME ZONE 'UTC', 'SS') FROM capydb_auth.users`))
}

func TestRemovedRowStartsAnew(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	apply(t, pool, []mirror.Event{update("e2", 2, "email", "a@example.com")})
	_, err := pool.Exec(t.Context(), `DELETE FROM capydb_auth.users`)
	require.NoError(t, err)
	require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{update("e1", 1, "email", "b@example.com")}))
	require.Equal(t, "b@example.com", one(t, pool, selectEmail))
}

func TestManyEventsOfOneUserInOneBatch(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	events := make([]mirror.Event, 400)
	for i := range events {
		events[i] = update(fmt.Sprintf("e%03d", i), i, "email", fmt.Sprintf("%d@example.com", i))
	}
	for _, outcome := range apply(t, pool, events) {
		require.Equal(t, "applied", outcome)
	}
	require.Equal(t, "399@example.com", one(t, pool, selectEmail))
	require.Equal(t, "400", one(t, pool, `SELECT count(*)::text FROM capydb_auth.user_changes`))
}

func TestOneBadEventFailsAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	_, err := pool.Exec(t.Context(), `
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON capydb_auth.users FOR EACH ROW
			WHEN (new.email = 'bad@example.com') EXECUTE FUNCTION public.refuse()`)
	require.NoError(t, err)
	events := make([]mirror.Event, 50)
	for i := range events {
		events[i] = update(fmt.Sprintf("e%d", i), i, "email", "good@example.com")
		events[i].UserID = fmt.Sprintf("u%d", i)
	}
	bad := "bad@example.com"
	events[17].Fields[record.Email] = &bad
	events[18] = withRaw(events[18], `{"n": "\u0000"}`)

	results, err := newMirrors(t, pool).Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for i, r := range results {
		var pg *pgconn.PgError
		switch i {
		case 17:
			require.ErrorAs(t, r.Err, &pg)
			require.Equal(t, "not this one", pg.Message)
		case 18:
			require.ErrorAs(t, r.Err, &pg)
			require.Equal(t, "22P05", pg.Code)
		default:
			require.NoError(t, r.Err)
			require.Equal(t, "applied", r.Outcome)
		}
	}
	require.Equal(t, "48", one(t, pool, `SELECT count(*)::text FROM capydb_auth.users`))
}

func TestBusyMirrorDelaysAndBlamesNoEvent(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	_, err = tx.Exec(t.Context(), `SELECT * FROM capydb_auth.apply_events('{}')`)
	require.NoError(t, err)

	_, err = newMirrors(t, pool).Apply(t.Context(), projectID(), []mirror.Event{update("e1", 1)})
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay)
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, mirror.CodeBusy, pg.Code)
}

func TestDatabaseAwayDelaysAndClosesTheLane(t *testing.T) {
	t.Parallel()
	m := newMirrorsAt(t, "postgres://nobody:secret-word@127.0.0.1:1/nowhere")
	events := []mirror.Event{update("e1", 1)}
	var delay *tenantdb.DelayError
	for range 3 {
		_, err := m.Apply(t.Context(), projectID(), events)
		require.ErrorAs(t, err, &delay)
		require.Positive(t, delay.After)
		require.NotContains(t, err.Error(), "secret-word")
	}
}

func TestHistoryTellsTheSourceOfEachColumn(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	apply(t, pool, []mirror.Event{
		withRaw(update("e1", 1, "email", "a@example.com", "first_name", "Ada"), `{"plan": "pro"}`),
		update("e2", 2, "email", "b@example.com"),
	})
	m := newMirrors(t, pool)
	h, err := m.History(t.Context(), projectID(), "u1", 0)
	require.NoError(t, err)
	require.Equal(t, "b@example.com", *h.User.Email)
	sources := make(map[string]string)
	for _, s := range h.Sources {
		if s.EventID != nil {
			sources[s.Column] = *s.EventID
		}
	}
	require.Equal(t, map[string]string{"email": "e2", "first_name": "e1", "deleted_at": "e2", "raw": "e1"}, sources)
	require.Len(t, h.Changes, 2)
	require.Equal(t, []string{"email"}, h.Changes[1].Changed)
	require.JSONEq(t, `{"email": "a@example.com"}`, string(h.Changes[1].Before))

	_, err = m.History(t.Context(), projectID(), "nobody", 0)
	require.ErrorIs(t, err, mirror.ErrNoRecord)
}
