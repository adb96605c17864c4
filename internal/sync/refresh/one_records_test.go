package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// recordFake is an account of a provider with an organization, a member of it and an invitation.
type recordFake struct {
	name string
	refs [3]record.Ref // organization, membership, invitation
	// end deletes all of them at the provider.
	end func(t *testing.T)
}

func refs(organizationID, userID, invitationID string) [3]record.Ref {
	return [3]record.Ref{
		{Type: record.Organization, ID: organizationID},
		{Type: record.Membership, ID: record.MembershipID(organizationID, userID)},
		{Type: record.Invitation, ID: invitationID},
	}
}

// recordFakes makes, for each provider that can be asked about records, such an account, and stores its credentials.
func recordFakes() map[string]func(t *testing.T, b *testBundle) recordFake {
	member, guest := []demoprovider.Member{{User: 1, Role: "admin"}}, demoprovider.Invitation{Email: "guest@example.com", Role: "member"}
	return map[string]func(t *testing.T, b *testBundle) recordFake{
		"Auth0": func(t *testing.T, b *testBundle) recordFake {
			t.Helper()
			b.clock.Advance(time.Since(b.clock.Now()))
			server := b.auth0(t, 3)
			server.Scope = "read:users " + demoprovider.Auth0OrganizationScopes
			server.Organizations.Add("Firm", member, guest)
			return recordFake{
				provider.Auth0, refs(demoprovider.Auth0OrganizationID(0), demoprovider.Auth0ID(1), "uinv_0_0"),
				func(*testing.T) { server.Organizations.Remove(0) },
			}
		},
		"Clerk": func(t *testing.T, b *testBundle) recordFake {
			t.Helper()
			server := b.clerk(t, 3)
			server.Organizations.Add("Firm", member, guest)
			return recordFake{
				provider.Clerk, refs(demoprovider.ClerkOrganizationID(0), demoprovider.ClerkID(1), "orginv_0_0"),
				func(*testing.T) { server.Organizations.Remove(0) },
			}
		},
		"BetterAuthByItsTables": func(t *testing.T, b *testBundle) recordFake {
			t.Helper()
			b.exec(t, `
				CREATE TABLE organization (id text PRIMARY KEY, name text, slug text, "createdAt" timestamptz);
				CREATE TABLE member (id text PRIMARY KEY, "organizationId" text, "userId" text, role text, "createdAt" timestamptz);
				CREATE TABLE invitation (id text PRIMARY KEY, "organizationId" text, email text, role text, status text, "expiresAt" timestamptz, "inviterId" text);
				INSERT INTO organization VALUES ('o1', 'Firm', 'firm', '2026-01-02Z');
				INSERT INTO member VALUES ('m1', 'o1', 'u1', 'admin', '2026-01-02Z');
				INSERT INTO invitation VALUES ('i1', 'o1', 'guest@example.com', 'member', 'pending', '2027-01-02Z', 'u1')`)
			b.tables = func(_ provider.Secret, tables provider.UserTables) (userapi.Source, error) {
				pool, err := pgdb.Open(t.Context(), pgtest.URL(t, b.project), pgdb.Options{MaxConns: 1})
				return sqlsource.New(sqlsource.Config{Pool: pool, Owned: true, Tables: tables}), err
			}
			b.store(provider.BetterAuth, &stored{options: provider.Options{Source: &provider.UserTables{}}})
			return recordFake{provider.BetterAuth, refs("o1", "u1", "i1"), func(t *testing.T) {
				t.Helper()
				b.exec(t, `DELETE FROM invitation; DELETE FROM member; DELETE FROM organization`)
			}}
		},
	}
}

// shownColumn is a column of each type, and what drifts in it.
func shownColumn(t record.Type) string {
	return map[record.Type]string{record.Organization: "name", record.Membership: "roles", record.Invitation: "email"}[t]
}

func TestRefreshOfRecordsBringsTheMirrorToWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	for name, start := range recordFakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := start(t, b)
			requireDone := func(ref record.Ref, found, done string) {
				t.Helper()
				got, err := b.one.Refresh(t.Context(), b.projectID, ref, "")
				require.NoError(t, err, "%+v", ref)
				require.Equal(t, []any{ref, f.name, found, done}, []any{got.Record, got.Provider, got.Found, got.Done}, "%+v", got)
				require.Nil(t, got.Note)
				if done != refresh.Nothing {
					require.Equal(t, got.EventID, one(t, b.project, `
						SELECT event_id FROM capydb_auth.record_changes WHERE record_type = $1 AND record_id = $2 ORDER BY id DESC LIMIT 1`, ref.Type, ref.ID))
				}
			}
			b.exec(t, `SELECT capydb_auth.ensure_organization($1)`, f.refs[0].ID)
			if f.name != provider.BetterAuth { // elsewhere an invitation is read by its organization, too
				_, err := b.one.Refresh(t.Context(), b.projectID, f.refs[2], "")
				require.True(t, fault.Is(err, fault.Unsupported), err)
				require.ErrorContains(t, err, "which organization it belongs to")
				b.exec(t, `INSERT INTO capydb_auth.invitations (id, organization_id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
					VALUES ($1, $2, $3, '2026-01-01Z', '2026-01-01Z', 'event', 65536)`, f.refs[2].ID, f.refs[0].ID, f.name)
			}
			for _, ref := range f.refs {
				table, column := ref.Type, shownColumn(ref.Type)
				shown := func() string {
					return one(t, b.project, fmt.Sprintf(`SELECT concat_ws(' ', %s, deleted_at IS NULL) FROM capydb_auth.%ss`, column, table))
				}
				if ref.Type == record.Invitation && f.name != provider.BetterAuth {
					requireDone(ref, mirror.Differing, refresh.Updated)
				} else {
					requireDone(ref, mirror.Missing, refresh.Created)
				}
				whole := shown()
				requireDone(ref, mirror.Equal, refresh.Nothing)
				b.exec(t, fmt.Sprintf(`UPDATE capydb_auth.%ss SET %s = '{}'`, table, column))
				requireDone(ref, mirror.Differing, refresh.Updated)
				require.Equal(t, whole, shown())
			}
			f.end(t)
			for _, i := range []int{2, 1, 0} { // the membership goes before its organization does, of its own
				requireDone(f.refs[i], refresh.Gone, refresh.Removed)
				requireDone(f.refs[i], refresh.Gone, refresh.Nothing)
			}
			_, err := b.one.Refresh(t.Context(), b.projectID, record.Ref{Type: record.Organization, ID: "org_none"}, "")
			require.True(t, fault.Is(err, fault.RecordNotFound), err)
			_, err = b.one.Refresh(t.Context(), b.projectID, record.Ref{Type: record.Membership, ID: "org_none"}, "")
			require.True(t, fault.Is(err, fault.RecordNotFound), err)
		})
	}
}

// What the mirror has just heard is newer than what Auth0 is certain to know: its answer changes nothing for a minute.
func TestRefreshUndoesNothingThatAnAnswerMayNotKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := recordFakes()["Auth0"](t, b)
	for _, ref := range f.refs[:2] {
		got, err := b.one.Refresh(t.Context(), b.projectID, ref, "")
		require.NoError(t, err)
		require.Equal(t, refresh.Created, got.Done)
	}
	heard := time.Now()
	b.exec(t, `UPDATE capydb_auth.organizations SET name = 'New', last_event_processed = $1`, heard)
	b.exec(t, `UPDATE capydb_auth.memberships SET roles = '{owner}', last_event_processed = $1`, heard)
	requireLeft := func() {
		t.Helper()
		for _, ref := range f.refs[:2] {
			got, err := b.one.Refresh(t.Context(), b.projectID, ref, "")
			require.NoError(t, err)
			require.Equal(t, []string{refresh.Recent, refresh.Nothing}, []string{got.Found, got.Done}, "%+v", ref)
			require.Contains(t, *got.Note, "less than 1m0s ago, which the answers of Auth0 may not know yet")
		}
		require.Equal(t, "New {owner} 2", one(t, b.project, `
			SELECT concat_ws(' ', o.name, m.roles, (o.deleted_at IS NULL)::int + (m.deleted_at IS NULL)::int) FROM capydb_auth.organizations AS o, capydb_auth.memberships AS m`))
	}
	requireLeft()
	f.end(t) // it was created a moment ago, and the answer does not know it yet
	requireLeft()
	b.exec(t, `UPDATE capydb_auth.organizations SET last_event_processed = $1`, heard.Add(-70*time.Second))
	got, err := b.one.Refresh(t.Context(), b.projectID, f.refs[0], "")
	require.NoError(t, err)
	require.Equal(t, []string{refresh.Gone, refresh.Removed}, []string{got.Found, got.Done})
}

func TestRefreshOfRecordsSaysWhatIsNotPossible(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := b.clerk(t, 3)
	server.Organizations.Add("Firm", []demoprovider.Member{{User: 1, Role: "admin"}})
	organization := record.Ref{Type: record.Organization, ID: demoprovider.ClerkOrganizationID(0)}
	refused := func(ref record.Ref, name, says string) {
		t.Helper()
		_, err := b.one.Refresh(t.Context(), b.projectID, ref, name)
		require.True(t, fault.Is(err, fault.Unsupported), "%v", err)
		require.ErrorContains(t, err, says)
	}
	refused(record.Ref{Type: record.Session, ID: "sess_1"}, "", "sessions cannot be refreshed")
	server.NoOrganizations = true
	refused(organization, "", "organizations are turned off in this Clerk instance")

	was := b.integrations[provider.Clerk]
	off := was
	off.options.RecordTypes = []string{provider.MirrorUsers}
	b.store(provider.Clerk, &off)
	refused(organization, "", "does not mirror organizations")
	b.store(provider.Clerk, &was)

	fakes()["BetterAuth"](t, b)
	refused(organization, provider.BetterAuth, "with option source they are read from its tables")

	f := recordFakes()["Auth0"](t, b)
	tenant := b.auth0(t, 3)
	tenant.Scope = "read:users read:organizations"
	tenant.Organizations.Add("Firm", []demoprovider.Member{{User: 1, Role: "admin"}})
	refused(f.refs[1], provider.Auth0, "does not allow the stored credentials to read it")
	tenant = b.auth0(t, 3)
	tenant.Scope = "read:users"
	refused(f.refs[0], provider.Auth0, "lacks the permission read:organizations")
	require.Equal(t, "0", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.organizations`))
}
