package mirror_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// userRow is what the mirror says of a user now, as destinations see it; empty: no such user.
func userRow(ctx context.Context, t require.TestingT, pool *pgxpool.Pool, id string) string {
	var row *string
	require.NoError(t, pool.QueryRow(ctx, `
		SELECT (
			SELECT (to_jsonb(u) - ARRAY['provider', 'last_event_processed', 'placeholder_since',
				'last_event_id', 'last_event_sent_at', 'last_event_fields', 'field_versions'])::text
			FROM capydb_auth.users AS u
			WHERE u.id = $1
		)`, id).Scan(&row))
	if row == nil {
		return ""
	}
	return *row
}

// Whatever came later, a change shows the rows between which it was made.
func TestFeedShowsTheRowAsEachChangeLeftIt(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	// Rows are compared with what was read when they were there.
	_, err := pool.Exec(t.Context(), `ALTER DATABASE `+quoted(pool.Config().ConnConfig.Database)+` SET timezone = 'UTC'`)
	require.NoError(t, err)
	pool.Reset()
	m := newMirrors(t, pool)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := pool.Exec(t.Context(),
			`TRUNCATE capydb_auth.users, capydb_auth.processed_events, capydb_auth.changes`)
		require.NoError(rt, err)
		var want []mirror.FeedChange
		for i := range rapid.IntRange(1, 12).Draw(rt, "events") {
			e := drawEvent(rt, i)
			before := userRow(t.Context(), rt, pool, e.UserID)
			apply(rt, pool, []mirror.Event{e})
			after := userRow(t.Context(), rt, pool, e.UserID)
			if before != after {
				want = append(want, mirror.FeedChange{RecordID: e.UserID, Row: raw(after), Before: raw(before)})
			}
		}
		got, err := m.ReadChanges(t.Context(), projectID(), 0, 100)
		require.NoError(rt, err)
		require.Len(rt, got, len(want))
		ids := make([]int64, 0, len(got))
		for i, c := range got {
			require.Equal(rt, want[i].RecordID, c.RecordID)
			require.Equal(rt, string(want[i].Row), string(c.Row), "change %d", i)
			require.Equal(rt, string(want[i].Before), string(c.Before), "change %d", i)
			if rapid.Bool().Draw(rt, "asked") {
				ids = append(ids, c.ID)
			}
		}
		some, err := m.ChangesByID(t.Context(), projectID(), ids)
		require.NoError(rt, err)
		require.Len(rt, some, len(ids))
		for _, c := range some {
			require.Contains(rt, got, c)
		}
		first, last := got[0], got[len(got)-1]
		for _, c := range got {
			if c.RecordID == last.RecordID {
				first = c
				break
			}
		}
		states, err := m.RecordStates(t.Context(), projectID(), []int64{first.ID}, []int64{first.ID}, []int64{first.ID})
		require.NoError(rt, err)
		require.Equal(rt, string(first.Row), string(states[0].Row), "as of the first change")
		states, err = m.RecordStates(t.Context(), projectID(), []int64{first.ID}, []int64{last.ID}, []int64{last.ID})
		require.NoError(rt, err)
		require.Len(rt, states, 1)
		require.Equal(rt, string(last.Row), string(states[0].Row))
		require.Equal(rt, string(first.Before), string(states[0].Before))
		require.Equal(rt, last.ID, states[0].LastID)
		require.Equal(rt, last.EventID, states[0].EventID)
	})
}

func quoted(name string) string { return `"` + name + `"` }

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// drawEvent makes an event about one of two users that says a few things.
func drawEvent(rt *rapid.T, i int) mirror.Event {
	var e mirror.Event
	id := rapid.StringMatching(`evt_[a-z0-9]{8}`).Draw(rt, "id")
	if rapid.IntRange(0, 5).Draw(rt, "deletes") == 0 {
		e = deletion(id, i+1)
	} else {
		says := []string{"updated_at", time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC).Format(time.RFC3339)}
		for _, column := range []string{"email", "first_name", "username"} {
			if rapid.Bool().Draw(rt, column) {
				says = append(says, column, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "value"))
			}
		}
		e = withRaw(update(id, i+1, says...), rapid.SampledFrom([]string{`{"n": 1}`, `{"n": 2}`, `{}`}).Draw(rt, "raw"))
	}
	e.UserID = rapid.SampledFrom([]string{"u1", "u2"}).Draw(rt, "user")
	return e
}

func TestChangeCursorStandsBetweenChanges(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	cursor := func(since time.Time) int64 {
		id, err := m.ChangeCursor(t.Context(), projectID(), since)
		require.NoError(t, err)
		return id
	}
	require.Zero(t, cursor(time.Time{}))
	apply(t, pool, []mirror.Event{update("evt_1", 1, "email", "a"), update("evt_2", 2, "email", "b")})
	var between time.Time
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&between))
	apply(t, pool, []mirror.Event{update("evt_3", 3, "email", "c")})

	require.EqualValues(t, 3, cursor(time.Time{}))
	require.EqualValues(t, 2, cursor(between))
	require.Zero(t, cursor(between.Add(-time.Hour)))
	latest, err := m.LatestChange(t.Context(), projectID(), record.Ref{Type: record.User, ID: "u1"})
	require.NoError(t, err)
	require.EqualValues(t, 3, latest)
}

func TestRestoredFeedGoesOnBehindIdsThatWereUsed(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	require.NoError(t, m.SkipChangeIDs(t.Context(), projectID(), 1000))
	require.NoError(t, m.SkipChangeIDs(t.Context(), projectID(), 10), "it never goes back")
	apply(t, pool, []mirror.Event{update("evt_1", 1, "email", "a")})
	id, err := m.ChangeCursor(t.Context(), projectID(), time.Time{})
	require.NoError(t, err)
	require.Greater(t, id, int64(1000))
}

// The feed has the changes of all record types, each whole, with what orders them and the deletions that memberships
// share.
func TestFeedHasRecordsOfAllTypes(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	of := func(e mirror.Event, recordType record.Type, organizationID, objectID string) mirror.Event {
		e.RecordType, e.Type, e.OrganizationID, e.ObjectID = recordType, string(recordType)+".updated", organizationID, objectID
		if recordType == record.Organization || recordType == record.Invitation {
			e.UserID = ""
		}
		return withRaw(e, `{"by": "`+e.ID+`"}`)
	}
	organization, user := "o/1", "u1"
	invitation, session := of(update("e5", 5, "status", "pending"), record.Invitation, organization, "i1"), of(update("e6", 6), record.Session, "", "s1")
	invitation.Fields[record.OrganizationID], session.Fields[record.UserID] = &organization, &user
	ended := of(deletion("e7", 7), record.Session, "", "s1")
	apply(t, pool, []mirror.Event{
		of(update("e1", 1, "name", "A"), record.Organization, organization, ""), of(update("e2", 2, "name", "B"), record.Organization, organization, ""),
		withRaw(update("e3", 3, "email", "a"), `{"by": "e3"}`), of(update("e4", 4, "role", "admin"), record.Membership, organization, ""), invitation, session,
	})
	apply(t, pool, []mirror.Event{ended})
	apply(t, pool, []mirror.Event{deletion("e8", 8)})
	changes, err := m.ReadChanges(t.Context(), projectID(), 0, 100)
	require.NoError(t, err)
	type seen struct{ recordType, id, kind, user, organization, event string }
	var got []seen
	for _, c := range changes {
		got = append(got, seen{string(c.RecordType), c.RecordID, c.Kind, c.UserID, c.OrganizationID, c.EventID})
	}
	require.ElementsMatch(t, []seen{
		{"organization", "o/1", "created", "", "o/1", "e1"},
		{"organization", "o/1", "updated", "", "o/1", "e2"},
		{"user", "u1", "created", "u1", "", "e3"},
		{"membership", "o%2F1/u1", "created", "u1", "o/1", "e4"},
		{"invitation", "i1", "created", "", "o/1", "e5"},
		{"session", "s1", "created", "u1", "", "e6"},
		{"session", "s1", "deleted", "u1", "", "e7"},
		{"user", "u1", "deleted", "u1", "", "e8"},
		{"membership", "o%2F1/u1", "deleted", "u1", "o/1", "e8"},
	}, got)
	require.Equal(t, seen{"membership", "o%2F1/u1", "deleted", "u1", "o/1", "e8"}, got[len(got)-1], "after its user")
	var renamed mirror.FeedChange
	for _, c := range changes {
		if c.RecordType == record.Organization && c.Kind == record.Updated {
			renamed = c
		}
		d, _ := record.Of(c.RecordType)
		var row map[string]any
		require.NoError(t, json.Unmarshal(c.Row, &row))
		require.ElementsMatch(t, d.Row(), slices.Collect(maps.Keys(row)), c.RecordType)
	}
	// raw is that of the event that set it; a deletion leaves it alone.
	type raws struct{ event, before, after string }
	by := func(row json.RawMessage) string {
		var r struct {
			Raw struct {
				By string `json:"by"`
			} `json:"raw"`
		}
		if row != nil {
			require.NoError(t, json.Unmarshal(row, &r))
		}
		return r.Raw.By
	}
	want := []raws{{"e1", "", "e1"}, {"e2", "e1", "e2"}, {"e3", "", "e3"}, {"e4", "", "e4"}, {"e5", "", "e5"}, {"e6", "", "e6"}, {"e7", "e6", "e7"}, {"e8", "e3", "e3"}, {"e8", "e4", "e4"}}
	var read []raws
	for _, c := range changes {
		read = append(read, raws{c.EventID, by(c.Before), by(c.Row)})
	}
	require.ElementsMatch(t, want, read)
	rows, err := pool.Query(t.Context(), `
		SELECT event_id, coalesce(before #>> '{raw,by}', ''), coalesce(after #>> '{raw,by}', '') FROM capydb_auth.record_changes WHERE 'raw' = ANY (changed) ORDER BY id`)
	require.NoError(t, err)
	viewed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r raws, err error) {
		return r, row.Scan(&r.event, &r.before, &r.after)
	})
	require.NoError(t, err)
	require.ElementsMatch(t, want[:7], viewed)
	require.JSONEq(t, `{"id": "o/1", "name": "A", "slug": null, "image_url": null, "created_at": null, "updated_at": null, "deleted_at": null,
		"raw": {"by": "e1"}}`, string(renamed.Before))
	require.JSONEq(t, `{"id": "o/1", "name": "B", "slug": null, "image_url": null, "created_at": null, "updated_at": null, "deleted_at": null,
		"raw": {"by": "e2"}}`, string(renamed.Row))
}

// The newest change's raw is in the row. A statement that began before the row changed sees both as they were, and an erasure
// takes it from no change that is still to be sent.
func TestRawOfTheNewestChangeIsThatOfItsMoment(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	apply(t, pool, []mirror.Event{withRaw(update("e1", 1, "email", "a"), `{"n": 1}`)})
	change := func(id int64) mirror.FeedChange {
		changes, err := m.ChangesByID(t.Context(), projectID(), []int64{id})
		require.NoError(t, err)
		require.Len(t, changes, 1)
		return changes[0]
	}
	require.JSONEq(t, `{"n": 1}`, rawOf(t, change(1).Row))

	for name, read := range map[string]string{
		"Function": `SELECT (c.record_row -> 'raw')::text FROM lock, LATERAL capydb_auth.changes_by_id(ARRAY[$1::bigint]) AS c`,
		"View":     `SELECT (c.after -> 'raw')::text FROM lock, LATERAL (SELECT v.after FROM capydb_auth.record_changes AS v WHERE v.id = $1 OFFSET 0) AS c`,
	} {
		latest, err := m.LatestChange(t.Context(), projectID(), record.Ref{Type: record.User, ID: "u1"})
		require.NoError(t, err)
		now := rawOf(t, change(latest).Row)
		holder, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = holder.Exec(t.Context(), `SELECT pg_advisory_xact_lock(7)`)
		require.NoError(t, err)
		got := make(chan string, 1)
		go func() {
			var raw string
			err := pool.QueryRow(t.Context(), `WITH lock AS MATERIALIZED (SELECT pg_advisory_xact_lock(7)) `+read, latest).Scan(&raw)
			if err != nil {
				raw = err.Error()
			}
			got <- raw
		}()
		waittest.Until(t, func() bool {
			return one(t, pool, `SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted
				AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == "1"
		})
		apply(t, pool, []mirror.Event{withRaw(update(name, 10+int(latest), "email", name), `{"n": "`+name+`"}`)})
		require.NoError(t, holder.Rollback(t.Context()))
		require.JSONEq(t, now, <-got, name)
		require.JSONEq(t, now, rawOf(t, change(latest).Row), "later changes change nothing of it")
	}

	latest, err := m.LatestChange(t.Context(), projectID(), record.Ref{Type: record.User, ID: "u1"})
	require.NoError(t, err)
	now := rawOf(t, change(latest).Row)
	erased, err := m.BeginErasure(t.Context(), mirror.Erasure{ProjectID: projectID(), Key: make([]byte, 32), UserID: "u1", EventID: "erasure:1"}, time.Now())
	require.NoError(t, err)
	require.JSONEq(t, now, rawOf(t, change(latest).Row))
	require.JSONEq(t, `{"id": "u1", "raw": null}`, string(change(erased.ChangeID).Row), "an erasure passes nothing on but the id")
	states, err := m.RecordStates(t.Context(), projectID(), []int64{erased.ChangeID}, []int64{erased.ChangeID}, []int64{erased.ChangeID})
	require.NoError(t, err)
	require.JSONEq(t, `{"id": "u1", "raw": null}`, string(states[0].Row))
	rows, err := m.LatestRows(t.Context(), projectID(), record.User, []string{"u1"})
	require.NoError(t, err)
	require.JSONEq(t, `{"id": "u1", "raw": null}`, string(rows["u1"]))

	execute(t, pool, `DELETE FROM capydb_auth.users`)
	require.Equal(t, "null", rawOf(t, change(latest).Row), "a row that is gone by hand takes its raw along, and nothing else")
}

func rawOf(t *testing.T, row json.RawMessage) string {
	t.Helper()
	var r struct {
		Raw json.RawMessage `json:"raw"`
	}
	require.NoError(t, json.Unmarshal(row, &r))
	return string(r.Raw)
}
