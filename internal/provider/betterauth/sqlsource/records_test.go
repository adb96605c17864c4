package sqlsource_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

const organizationTables = `
	CREATE TABLE organization (id text PRIMARY KEY, name text NOT NULL, slug text, logo text, "createdAt" timestamptz, metadata text, "apiToken" text);
	CREATE TABLE member (id text PRIMARY KEY, "organizationId" text NOT NULL, "userId" text NOT NULL, role text NOT NULL, "createdAt" timestamptz);
	CREATE TABLE invitation (id text PRIMARY KEY, "organizationId" text NOT NULL, email text NOT NULL, role text, status text NOT NULL,
		"expiresAt" timestamptz NOT NULL, "inviterId" text NOT NULL);`

const fill = `
	INSERT INTO organization SELECT 'o' || n, 'Firm ' || n, 'firm-' || n, NULL, '2026-01-02 03:04:05Z', NULL, 'hush' FROM generate_series(1, 600) AS n;
	INSERT INTO member SELECT 'm' || n, 'o' || n, 'u' || n, 'owner,billing', '2026-01-02 03:04:05Z' FROM generate_series(1, 1000) AS n;
	INSERT INTO invitation SELECT 'i' || n, 'o1', n || '@example.com', 'member', 'pending', '2026-03-02 03:04:05Z', 'u1' FROM generate_series(1, 3) AS n;`

func decoded(t *testing.T, r userapi.Record) provider.Event {
	t.Helper()
	e := betterauth.New().DecodeRecord(r.Type, r.Object, provider.Import{RunID: "run", Kind: provider.KindBackfill, FetchedAt: r.FetchedAt, Whole: true}, provider.Options{})
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	return e
}

func TestRecordsReadsEachOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, fill)
	b.exec(t, `GRANT SELECT ON organization, member, invitation TO `+b.role)
	// Each page is read by another process, and rows before and behind the place come and go.
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, func(page int, _ userapi.RecordPage) {
		b.exec(t, `DELETE FROM organization WHERE id = 'o1'`)
		b.exec(t, `INSERT INTO organization (id, name, slug) VALUES ($1, 'Late', 'late')`, fmt.Sprint("zz", page))
	})
	require.NoError(t, err)
	require.Empty(t, read.Notes)
	seen := map[string]int{}
	for _, r := range read.Read {
		e := decoded(t, r)
		seen[string(r.Type)+" "+e.Record().ID]++
		require.NotContains(t, string(r.Object), "hush")
		switch r.Type {
		case record.Organization:
			if e.OrganizationID < "z" {
				require.Equal(t, "2026-01-02T03:04:05Z", *e.Fields[record.CreatedAt])
			}
		case record.Membership:
			require.Equal(t, []string{"owner,billing", `{"owner","billing"}`}, []string{*e.Fields[record.Role], *e.Fields[record.Roles]})
			require.True(t, e.AtIsReceipt)
		default:
			require.Equal(t, []string{"o1", "pending", "2026-03-02T03:04:05Z"}, []string{e.OrganizationID, *e.Fields[record.Status], *e.Fields[record.ExpiresAt]})
		}
	}
	require.Len(t, read.Read, len(seen), "none twice")
	require.Equal(t, []int{601, 1000, 3}, []int{len(read.Of(record.Organization)), len(read.Of(record.Membership)), len(read.Of(record.Invitation))})
}

// Teams are not mirrored: their tables are neither read nor missed, and the team of an invitation is in its row.
func TestTeamsAreNotRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, `
		CREATE TABLE team (id text PRIMARY KEY, name text NOT NULL, slug text, "organizationId" text NOT NULL);
		CREATE TABLE "teamMember" (id text PRIMARY KEY, "teamId" text NOT NULL, "userId" text NOT NULL);
		ALTER TABLE invitation ADD COLUMN "teamId" text;
		INSERT INTO team VALUES ('t1', 'Keepers', 'keepers', 'o1');
		INSERT INTO "teamMember" VALUES ('w1', 't1', 'u1');
		INSERT INTO organization (id, name, slug) VALUES ('o1', 'Firm', 'firm');
		INSERT INTO member (id, "organizationId", "userId", role) VALUES ('m1', 'o1', 'u1', 'owner');
		INSERT INTO invitation (id, "organizationId", email, status, "expiresAt", "inviterId", "teamId") VALUES ('i1', 'o1', 'a@example.com', 'pending', now(), 'u1', 't1');
		GRANT SELECT ON organization, member, invitation, team, "teamMember" TO `+b.role)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
	require.NoError(t, err)
	require.Empty(t, read.Notes)
	require.Len(t, read.Read, 3)
	require.Equal(t, record.Invitation, read.Read[2].Type)
	require.Contains(t, string(decoded(t, read.Read[2]).Raw), `"t1"`)
}

// What the tables have is found alone, in the same form; what they do not have is gone.
func TestRecordReadsOneRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, fill)
	b.exec(t, `GRANT SELECT ON organization, member, invitation TO `+b.role)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
	require.NoError(t, err)
	source, _ := b.open(provider.UserTables{}).(userapi.RecordSource)
	for _, listed := range []userapi.Record{read.Read[7], read.Read[600+7], read.Read[1600+1]} {
		found, err := source.Record(t.Context(), userapi.RecordRef{Ref: decodedRef(t, listed)})
		require.NoError(t, err)
		require.Equal(t, listed.Type, found.Type)
		require.JSONEq(t, string(listed.Object), string(found.Object))
		require.False(t, found.FetchedAt.IsZero())
	}
	for _, ref := range []record.Ref{
		{Type: record.Organization, ID: "o0"}, {Type: record.Membership, ID: "o1/u2"}, {Type: record.Invitation, ID: "i9"},
	} {
		_, err := source.Record(t.Context(), userapi.RecordRef{Ref: ref})
		require.ErrorIs(t, err, userapi.ErrGone, "%+v", ref)
	}
	b.exec(t, `REVOKE SELECT ON member FROM `+b.role)
	_, err = source.Record(t.Context(), userapi.RecordRef{Ref: record.Ref{Type: record.Membership, ID: "o1/u2"}})
	require.Error(t, err)
	require.NotErrorIs(t, err, userapi.ErrGone, "a table that may not be read proves nothing")
}

func decodedRef(t *testing.T, r userapi.Record) record.Ref {
	t.Helper()
	e := decoded(t, r)
	return e.Record()
}

func TestRecordsTakesSerialIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
		CREATE TABLE organization (id serial PRIMARY KEY, name text, slug text);
		CREATE TABLE member (id serial PRIMARY KEY, "organizationId" integer, "userId" bigint, role text, "updatedAt" timestamp);
		INSERT INTO organization (name, slug) SELECT 'Firm', 'firm' FROM generate_series(1, 1100);
		INSERT INTO member ("organizationId", "userId", role, "updatedAt") VALUES (7, 8, 'owner', '2026-01-02 03:04:05');
		GRANT SELECT ON organization, member TO `+b.role)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
	require.NoError(t, err)
	require.Len(t, read.Of(record.Organization), 1100)
	e := decoded(t, read.Read[1100])
	require.Equal(t, "7/8", e.Record().ID)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), e.At)

	source, _ := b.open(provider.UserTables{}).(userapi.RecordSource)
	for id, exists := range map[string]bool{"7/8": true, "7/9": false, "x/8": false, "7/99999999999999999999": false} {
		_, err := source.Record(t.Context(), userapi.RecordRef{Ref: record.Ref{Type: record.Membership, ID: id}})
		if exists {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, userapi.ErrGone, id)
		}
	}
}

// What keeps all tables from being read is no reason to leave one out.
func TestRecordsRefusesToReadWithoutALogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, `ALTER ROLE `+b.role+` PASSWORD 'another'`)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
	require.True(t, fault.Is(err, fault.CredentialsRefused), "%v, %v", err, read.Notes)
	require.ErrorContains(t, err, "credentials.database_url")
}

// A table that makes no sense does not take the others with it.
func TestRecordsGoesOnBehindATableThatFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, fill)
	b.exec(t, `ALTER TABLE organization RENAME TO organizations;
		CREATE VIEW organization AS SELECT id, name, slug, 1 / (length(id) - length(id)) AS quotient FROM organizations`)
	b.exec(t, `GRANT SELECT ON organization, member, invitation TO `+b.role)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
	require.NoError(t, err)
	require.Len(t, read.Read, 1003)
	require.Len(t, read.Bad, 1)
	require.Equal(t, "organization", read.Bad[0].Place)
	require.Equal(t, []record.Type{record.Organization}, read.Unlisted)
	require.Contains(t, read.Bad[0].Reason, "the database refuses the query (SQLSTATE 22012)")
}

// A right may go while a table is read: what was read of it stays.
func TestRecordsSaysThatATableWasReadInPart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, organizationTables)
	b.exec(t, fill)
	b.exec(t, `GRANT SELECT ON organization, member, invitation TO `+b.role)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, func(page int, _ userapi.RecordPage) {
		if page == 1 {
			b.exec(t, `REVOKE SELECT ON organization FROM `+b.role)
		}
	})
	require.NoError(t, err)
	require.Len(t, read.Read, 500+1003)
	require.Equal(t, []record.Type{record.Organization}, read.Unlisted)
	require.Len(t, read.Notes, 1)
	require.Contains(t, read.Notes[0], `the rest of table "public"."organization" was not read: the role`)
}

// A table that is missing, hidden or another one's is left out; the others are read.
func TestRecordsLeavesOutWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ statement, says string }{
		"NoPlugin":     {`DROP TABLE organization, member, invitation`, `from table "public"."organization": the database has no such table`},
		"NoTable":      {`DROP TABLE member`, `from table "public"."member": the database has no such table`},
		"NoRight":      {`SELECT`, `GRANT SELECT ON "public"."member"`},
		"NoColumn":     {`ALTER TABLE member RENAME "organizationId" TO club_id`, `no column "organizationId"`},
		"RowsAreAside": {`ALTER TABLE member ENABLE ROW LEVEL SECURITY`, `row level security`},
		"NoRightBehindAView": {
			`ALTER TABLE member RENAME TO members; CREATE VIEW member WITH (security_invoker) AS SELECT * FROM members`, `also on those behind a view`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, organizationTables)
			b.exec(t, fill)
			b.exec(t, `GRANT SELECT ON organization, member, invitation TO `+b.role)
			b.exec(t, tc.statement)
			switch name {
			case "NoRight":
				b.exec(t, `REVOKE SELECT ON member FROM `+b.role)
			case "NoRightBehindAView":
				b.exec(t, `REVOKE SELECT ON members FROM `+b.role+`; GRANT SELECT ON member TO `+b.role)
			}
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return b.open(provider.UserTables{}) }, nil)
			require.NoError(t, err)
			require.Empty(t, read.Of(record.Membership))
			require.Contains(t, read.Notes[0], tc.says)
			require.Contains(t, read.Unlisted, record.Membership, "nothing is known of what it no longer has")
			if name == "NoPlugin" {
				require.Len(t, read.Notes, 3)
				return
			}
			require.Len(t, read.Notes, 1)
			require.Len(t, read.Read, 603)
		})
	}
}

func TestRecordsRefusesACursorOfAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE organization (id integer PRIMARY KEY, name text, slug text); GRANT SELECT ON organization TO `+b.role)
	source, _ := sqlsource.New(sqlsource.Config{Pool: b.reader}).(userapi.RecordSource)
	for _, cursor := range []string{"x", `{"list":"team"}`, `{"list":"organization","id":"not a number"}`, `{"list":"organization","offset":-1}`, `{"mode":"sql","id":"7"}`} {
		_, err := source.Records(t.Context(), cursor)
		require.True(t, fault.Is(err, fault.ProviderError), "%s: %v", cursor, err)
	}
}
