package syncrun_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// tables is a Better Auth server whose tables are in the project's database.
type tables struct {
	*testBundle

	second int // of its clock
}

// newTables makes a server with a user and worker; columns are those of the user table beside Better
// Auth's own.
func newTables(t *testing.T, idType, columns string) *tables {
	t.Helper()
	b := setup(t, 0, 0)
	_, err := b.project.Exec(t.Context(), fmt.Sprintf(`
		CREATE TABLE "user" (id %[1]s PRIMARY KEY, name text NOT NULL, email text, "emailVerified" boolean, image text,
			"createdAt" timestamptz, "updatedAt" timestamptz%[2]s);
		CREATE TABLE session (id text PRIMARY KEY, "userId" %[1]s, "createdAt" timestamptz)`, idType, columns))
	require.NoError(t, err)
	b.integrate(t, provider.BetterAuth, provider.Credentials{}, provider.Options{Source: &provider.UserTables{}}, nil)
	return &tables{testBundle: b}
}

// hook delivers what a hook of the server sends, with the keys that it has beside id, email and dates.
func (s *tables) hook(t *testing.T, id, email, more string) {
	t.Helper()
	s.second++
	receivedAt := time.Date(2026, 3, 1, 12, 0, s.second, 0, time.UTC)
	body := fmt.Sprintf(`{"event": "user.updated", "timestamp": %q, "user": {"id": %s, "name": "Emmy Noether", "email": %q, "emailVerified": true, "image": null,
		"createdAt": "2026-01-02T03:04:05.678Z", "updatedAt": "2026-02-02T03:04:05.678Z"%s}}`, receivedAt.Format(time.RFC3339), id, email, more)
	d := provider.Message{InboxID: int64(s.second), ReceivedAt: receivedAt, Body: []byte(body)}
	e := betterauth.New().Decode(d, provider.Options{})[0]
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	s.apply(t, mirror.Event{Event: e, Provider: provider.BetterAuth, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt})
}

// requireEqual reconciles and requires that nothing is found and nothing written.
func (s *tables) requireEqual(t *testing.T, when string) {
	t.Helper()
	changes := s.changes(t)
	d := s.runs(t, provider.KindReconcile).Drift
	require.Zero(t, d.Found(), "%s: %+v", when, d)
	require.Zero(t, d.Unreported, "%s: %+v", when, d)
	require.Equal(t, changes, s.changes(t), when)
}

// changes are the columns of each change of the feed.
func (s *tables) changes(t *testing.T) string {
	t.Helper()
	return one(t, s.project, `SELECT coalesce(string_agg(array_to_string(changed, ','), ' ' ORDER BY id), '') FROM capydb_auth.user_changes`)
}

// Hooks, tables and the mirror print the same values in forms of their own. Whichever says a user
// first, the other one finds nothing to change.
func TestTablesAndHooksSayTheSame(t *testing.T) {
	t.Parallel()
	const columns = `, visits bigint, balance numeric(12,2), score real, is_vip boolean, settings jsonb, notes json, tags text[], seen timestamp, born date, ref uuid, level integer`
	const values = `9007199254740993, 12.50, 1.5, true, '{"theme": "dark", "sizes": [1, 2]}', '{"a":1}', '{x,y}', '2026-02-01 10:00:00.123456', '1990-05-06',
		'0B5484F1-0A6F-4A5B-9B0E-0C5D5B1B2A3C', 7`
	for name, c := range map[string]struct{ idType, id, inHook, hook string }{
		"SerialIDsAndTheDriverOfPostgreSQL": {"integer", "5021", `"5021"`, `, "visits": "9007199254740993", "balance": "12.50", "score": 1.5, "is_vip": true,
			"settings": {"theme": "dark", "sizes": [1, 2]}, "notes": {"a": 1}, "tags": ["x", "y"], "seen": "2026-02-01T10:00:00.123Z", "born": "1990-05-06T00:00:00.000Z",
			"ref": "0b5484f1-0a6f-4a5b-9b0e-0c5d5b1b2a3c", "level": 7`},
		"BigintIDsAsNumbers": {"bigint", "9007199254740993", `9007199254740993`, `, "visits": 9007199254740992, "balance": 12.5, "score": 1.5, "is_vip": 1,
			"settings": "{\"theme\":\"dark\",\"sizes\":[1,2]}", "notes": "{\"a\":1}", "tags": "[\"x\",\"y\"]", "seen": "2026-02-01 10:00:00.123", "born": "1990-05-06",
			"ref": "0B5484F1-0A6F-4A5B-9B0E-0C5D5B1B2A3C", "level": "7"`},
		"UUIDs": {"uuid", "'3f2c1b0a-9d8e-4f7a-b6c5-d4e3f2a1b0c9'", `"3f2c1b0a-9d8e-4f7a-b6c5-d4e3f2a1b0c9"`, `, "visits": "9007199254740993", "balance": "12.50", "score": 1.5,
			"is_vip": "t", "settings": {"sizes": [1, 2], "theme": "dark"}, "notes": {"a": 1}, "tags": ["x", "y"], "seen": 1769940000123, "born": "1990-05-06",
			"ref": "0b5484f1-0a6f-4a5b-9b0e-0c5d5b1b2a3c", "level": 7`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTables(t, c.idType, columns)
			s.exec(t, `INSERT INTO "user" VALUES (`+c.id+`, 'Emmy Noether', 'emmy@example.com', true, NULL,
				'2026-01-02 03:04:05.678901Z', '2026-02-02 03:04:05.678901Z', `+values+`)`)
			s.hook(t, c.inHook, "emmy@example.com", c.hook)
			s.requireEqual(t, "after a hook")
			s.requireEqual(t, "a second time")

			s.exec(t, `UPDATE "user" SET email = 'noether@example.com', "updatedAt" = '2026-02-02 03:04:06Z'`)
			d := s.runs(t, provider.KindReconcile).Drift
			require.Equal(t, []int64{1, 1}, []int64{d.Differing, d.Repaired}, "%+v", d)
			require.Equal(t, map[string]int64{"email": 1, "updated_at": 1, "raw": 1}, d.Columns)
			s.requireEqual(t, "after the tables have been read")
			s.requireEqual(t, "a second time")
			s.exec(t, `UPDATE "user" SET email = 'emmy@example.com', "updatedAt" = '2026-02-02 03:04:05.678901Z'`)
			s.hook(t, c.inHook, "emmy@example.com", c.hook) // it is older, and changes nothing
			d = s.runs(t, provider.KindReconcile).Drift
			require.Equal(t, []int64{1, 1}, []int64{d.Differing, d.Repaired}, "%+v", d)
			s.requireEqual(t, "at last")
		})
	}
}

// A backfill before the first hook: what the hook says in the server's own form is no change.
func TestAHookAfterABackfillIsNoChange(t *testing.T) {
	t.Parallel()
	s := newTables(t, "integer", `, visits bigint, settings jsonb`)
	s.exec(t, `INSERT INTO "user" VALUES (5021, 'Emmy Noether', 'emmy@example.com', true, NULL, '2026-01-02 03:04:05.678Z', '2026-02-02 03:04:05.678Z', 7, '{"theme": "dark"}')`)
	s.runs(t, provider.KindBackfill)
	changes := s.changes(t)
	s.hook(t, `"5021"`, "emmy@example.com", `, "visits": "7", "settings": {"theme": "dark"}`)
	require.Equal(t, changes, s.changes(t))
	s.requireEqual(t, "after both")
}

// Everything is compared: what changed in the tables without a hook and without a clock is found, mended, and not found again.
func TestWhateverChangesInTheTablesIsFound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"AnObject":        `UPDATE "user" SET settings = '{"theme": "light"}'`,
		"AnObjectWithin":  `UPDATE "user" SET settings = '{"theme": "dark", "sizes": {"a": 2}}'`,
		"AKeyMore":        `UPDATE "user" SET settings = settings || '{"beta": true}'`,
		"AnObjectIsGone":  `UPDATE "user" SET settings = NULL`,
		"AnArray":         `UPDATE "user" SET tags = '{x}'`,
		"AnInstant":       `UPDATE "user" SET seen = '2026-02-01 11:00:00'`,
		"ABigint":         `UPDATE "user" SET visits = 9007199254740992`,
		"ANumeric":        `UPDATE "user" SET balance = 12.51`,
		"AColumnIsNew":    `ALTER TABLE "user" ADD COLUMN plan text DEFAULT 'pro'`,
		"AColumnIsGone":   `ALTER TABLE "user" DROP COLUMN tags`,
		"ABoolean":        `UPDATE "user" SET is_vip = false`,
		"TheDateOfSignUp": `UPDATE "user" SET "createdAt" = '2026-01-01Z'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTables(t, "bigint", `, visits bigint, balance numeric, settings jsonb, tags text[], seen timestamptz, is_vip boolean`)
			s.exec(t, `INSERT INTO "user" VALUES (1, 'Emmy Noether', 'emmy@example.com', true, NULL, '2026-01-02Z', '2026-02-02Z',
				9007199254740993, 12.5, '{"theme": "dark", "sizes": {"a": 1}}', '{x,y}', '2026-02-01 10:00:00', true)`)
			s.runs(t, provider.KindBackfill)
			s.requireEqual(t, "after the backfill")
			s.exec(t, change)
			d := s.runs(t, provider.KindReconcile).Drift
			require.Equal(t, []int64{1, 1}, []int64{d.Differing, d.Repaired}, "%+v", d)
			s.requireEqual(t, "after it was repaired")
		})
	}
}

// What only the tables say is no drift: hooks never say when somebody signed in, nor what is in a
// column that the server does not know.
func TestWhatHooksNeverSayIsNoDrift(t *testing.T) {
	t.Parallel()
	s := newTables(t, "text", `, internal_notes text`)
	s.exec(t, `INSERT INTO "user" VALUES ('u1', 'Emmy Noether', 'emmy@example.com', true, NULL, '2026-01-02 03:04:05.678Z', '2026-02-02 03:04:05.678Z', 'calls often')`)
	s.exec(t, `INSERT INTO session VALUES ('s1', 'u1', '2026-03-01Z')`)
	s.hook(t, `"u1"`, "emmy@example.com", "")
	const signIn = `SELECT coalesce((last_sign_in_at AT TIME ZONE 'UTC')::date::text, '-') FROM capydb_auth.users`
	require.Equal(t, "-", one(t, s.project, signIn))

	d := s.runs(t, provider.KindReconcile).Drift
	require.Zero(t, d.Found(), "%+v", d)
	require.Equal(t, []int64{1, 0, 0}, []int64{d.Unreported, d.Repaired, d.Left}, "%+v", d)
	require.Equal(t, map[string]int64{"raw.internal_notes": 1}, d.Tolerated)
	require.Empty(t, d.Users)
	require.Equal(t, "2026-03-01", one(t, s.project, signIn), "it is merged all the same")
	s.requireEqual(t, "a second time")

	s.exec(t, `INSERT INTO session VALUES ('s2', 'u1', '2026-03-09Z')`)
	dry, err := s.store.Start(t.Context(), s.projectID, provider.BetterAuth, syncrun.Order{Kind: provider.KindReconcile, DryRun: true})
	require.NoError(t, err)
	waittest.Until(t, func() bool {
		run, err := s.store.Latest(t.Context(), s.projectID, provider.BetterAuth, provider.KindReconcile)
		require.NoError(t, err)
		d = run.Drift
		return run.ID == dry.ID && run.Finished()
	})
	require.Equal(t, []int64{1, 0, 0}, []int64{d.Unreported, d.Repaired, d.Left}, "a dry run ends well: %+v", d)
	require.Equal(t, "2026-03-01", one(t, s.project, signIn))
	s.runs(t, provider.KindReconcile)
	require.Equal(t, "2026-03-09", one(t, s.project, signIn))

	s.exec(t, `DELETE FROM session WHERE id = 's2'`)
	s.requireEqual(t, "when a session has ended")
	s.exec(t, `DELETE FROM session`)
	s.requireEqual(t, "when all have")
	s.exec(t, `UPDATE "user" SET name = 'Amalie Noether'`)
	s.exec(t, `INSERT INTO session VALUES ('s0', 'u1', '2026-02-01Z')`)
	require.Equal(t, int64(1), s.runs(t, provider.KindReconcile).Drift.Repaired)
	require.Equal(t, "2026-03-09", one(t, s.project, signIn), "it does not go back with a repair either")
	s.requireEqual(t, "after the repair")
}
