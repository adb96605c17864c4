package mirror_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// erasureKeys is a key, or that there is none yet.
type erasureKeys struct{ key []byte }

func (k *erasureKeys) ErasureKey(context.Context, uuid.UUID) ([]byte, error) { return k.key, nil }

// The mirror itself refuses what is about an erased user, under the lock under which the tombstone is set: it does not matter who has
// read the event before. A process that has not learned the key yet writes nothing at all.
func TestTheMirrorKeepsErasedUsersOut(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	url := pgtest.URL(t, pool)
	keys := &erasureKeys{}
	m := mirror.New(mirror.Config{
		Databases:   databasesOf(t, tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return url, nil }}),
		ErasureKeys: keys, Log: discard(),
	})
	about := func(user string, second int, says ...string) mirror.Event {
		e := update(fmt.Sprintf("%s-%d", user, second), second, says...)
		e.UserID = user
		return e
	}
	member := func(user string) mirror.Event {
		e := about(user, 3)
		e.SetRecord(record.Ref{Type: record.Membership, ID: "org/" + user})
		return e
	}
	outcomes := func(events ...mirror.Event) (all []string) {
		results, err := m.Apply(t.Context(), projectID(), events)
		require.NoError(t, err)
		for _, r := range results {
			require.NoError(t, r.Err)
			all = append(all, r.Outcome)
		}
		return all
	}
	require.Equal(t, []string{"applied", "applied"}, outcomes(about("gone", 1, "email", "gone@example.com"), about("kept", 1)))

	e := mirror.Erasure{ProjectID: projectID(), Key: []byte("01234567890123456789012345678901"), UserID: "gone", EventID: "erasure:1"}
	begun, err := m.BeginErasure(t.Context(), e, time.Now())
	require.NoError(t, err)
	require.Equal(t, []string{"gone@example.com"}, begun.Emails)
	again, err := m.BeginErasure(t.Context(), e, time.Now())
	require.NoError(t, err)
	require.Equal(t, begun.ChangeID, again.ChangeID, "an erasure is passed on once")
	require.Equal(t, "true", one(t, pool, `SELECT (digest = '`+hex.EncodeToString(mirror.ErasureDigest(e.Key, record.User, "gone"))+`')::text FROM capydb_auth.erasures`),
		"Go and SQL make the same digest")

	_, err = m.Apply(t.Context(), projectID(), []mirror.Event{about("kept", 2)})
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay, "the key is not known yet")
	require.Equal(t, mirror.CodeErasuresUnknown, pgdb.Code(delay.Err))
	_, _, err = m.FindRestored(t.Context(), projectID(), record.User, mirror.Blocks{Table: mirror.SearchedUsers, Count: 1000})
	require.ErrorIs(t, err, mirror.ErrKeyUnknown, "a search that can recognize nobody is not done")

	keys.key = e.Key
	require.Equal(t, []string{"erased", "applied", "erased", "applied"}, outcomes(about("gone", 5), about("kept", 5), member("gone"), member("kept")))
	erased, err := m.Erased(t.Context(), projectID(), []mirror.Owned{
		{Ref: record.Ref{Type: record.User, ID: "kept"}},
		{Ref: record.Ref{Type: record.User, ID: "gone"}},
		{Ref: record.Ref{Type: record.Session, ID: "s"}, UserID: "gone"},
		{Ref: record.Ref{Type: record.Organization, ID: "gone"}},
	})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, erased)

	rows, err := m.EraseRecords(t.Context(), e, begun.ChangeID)
	require.NoError(t, err)
	require.True(t, rows.IsDone)
	require.EqualValues(t, 1, rows.Users)
	_, next, err := m.EraseLedger(t.Context(), e, mirror.LedgerPlace{})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Equal(t, "0", one(t, pool, `SELECT count(*)::text FROM capydb_auth.processed_events WHERE record_id LIKE '%gone'`))
	require.Equal(t, "3", one(t, pool, `SELECT count(*)::text FROM capydb_auth.processed_events`))
	require.NoError(t, m.EndErasure(t.Context(), e, begun.ChangeID))
	require.Equal(t, "0", one(t, pool, `SELECT count(*)::text FROM capydb_auth.changes WHERE record_id LIKE '%gone'`))
	require.Equal(t, []string{"erased"}, outcomes(about("gone", 9)))
	require.Equal(t, "0", one(t, pool, `SELECT count(*)::text FROM capydb_auth.users WHERE id = 'gone'`))
}

// Once the tombstones are set, a search of a restored mirror, block by block, misses nobody because a row moves: no call rewrites the rows of
// users and invitations that were erased, nor does the deletion of their organization.
func TestRowsOfTheErasedStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	url := pgtest.URL(t, pool)
	keys := &erasureKeys{[]byte("01234567890123456789012345678901")}
	m := mirror.New(mirror.Config{
		Databases:   databasesOf(t, tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return url, nil }}),
		ErasureKeys: keys, Log: discard(),
	})
	changed := func(second int, set func(e *mirror.Event)) (events []mirror.Event) {
		for i, ref := range []record.Ref{
			{Type: record.Organization, ID: "org"},
			{Type: record.User, ID: "gone"},
			{Type: record.Invitation, ID: "inv"},
			{Type: record.Membership, ID: "org/gone"},
		} {
			e := update(fmt.Sprintf("e%d-%d", second, i), second)
			e.SetRecord(ref)
			if set != nil {
				set(&e)
			}
			events = append(events, e)
		}
		return events
	}
	apply := func(events []mirror.Event) (all []string) {
		results, err := m.Apply(t.Context(), projectID(), events)
		require.NoError(t, err)
		for _, r := range results {
			require.NoError(t, r.Err)
			all = append(all, r.Outcome)
		}
		return all
	}
	require.NotContains(t, apply(changed(1, nil)), "erased")
	for _, ref := range []record.Ref{{Type: record.User, ID: "gone"}, {Type: record.Invitation, ID: "inv"}} {
		_, err := pool.Exec(t.Context(), `INSERT INTO capydb_auth.erasures (digest, erased_at) VALUES ($1, now())`,
			hex.EncodeToString(mirror.ErasureDigest(keys.key, ref.Type, ref.ID)))
		require.NoError(t, err)
	}
	const places = `
		SELECT concat_ws(' ', (SELECT u.ctid FROM capydb_auth.users AS u WHERE u.id = 'gone'),
			(SELECT i.ctid FROM capydb_auth.invitations AS i WHERE i.id = 'inv'), (SELECT o.ctid FROM capydb_auth.organizations AS o))`
	before := one(t, pool, places)
	deleted := "2026-03-01T12:00:00Z"
	require.Equal(t, []string{"applied", "erased", "erased", "erased"}, apply(changed(2, nil)))
	require.Equal(t, []string{"applied", "erased", "erased", "erased"}, apply(changed(3, func(e *mirror.Event) { e.Fields[record.DeletedAt] = &deleted })))
	after := one(t, pool, places)
	require.NotEqual(t, before, after, "the organization's has moved")
	require.Equal(t, strings.Fields(before)[:2], strings.Fields(after)[:2])
}

// The ledger is read page by page; a page ends with an event, however many records the event was about.
func TestTheWholeLedgerIsRead(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	_, err := pool.Exec(t.Context(), `
		INSERT INTO capydb_auth.processed_events (provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome)
		SELECT p, 'e' || n / 3, 'user', CASE WHEN n % 2 = 0 THEN 'gone' ELSE 'kept' || n END, now(), 1, n, 'applied'
		FROM generate_series(1, 30) AS n, unnest('{auth0,clerk}'::text[]) AS p
		ON CONFLICT DO NOTHING`)
	require.NoError(t, err)
	provider, event, pages := "", "", 0
	for {
		var next, nextEvent *string
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT next_provider, next_event_id FROM capydb_auth.erase_ledger('gone', false, $1, $2, 4)`,
			provider, event).Scan(&next, &nextEvent))
		if pages++; next == nil {
			break
		}
		provider, event = *next, *nextEvent
	}
	require.Greater(t, pages, 5)
	require.Equal(t, "0", one(t, pool, `SELECT count(*)::text FROM capydb_auth.processed_events WHERE record_id = 'gone'`))
	require.Equal(t, "30", one(t, pool, `SELECT count(*)::text FROM capydb_auth.processed_events`))
}
