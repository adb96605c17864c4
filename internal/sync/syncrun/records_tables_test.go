package syncrun_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// Better Auth runs no hook when a member leaves by himself, nor when somebody changes a row. Its tables
// give no clock, its hooks do.
func TestReconcileComparesTheTablesOfOrganizations(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	b.exec(t, `
		CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, email text, "updatedAt" timestamptz);
		CREATE TABLE organization (id text PRIMARY KEY, name text NOT NULL, slug text, "createdAt" timestamptz, metadata text);
		CREATE TABLE member (id text PRIMARY KEY, "organizationId" text NOT NULL, "userId" text NOT NULL, role text NOT NULL, "createdAt" timestamptz);
		CREATE TABLE invitation (id text PRIMARY KEY, "organizationId" text NOT NULL, email text NOT NULL, role text, status text NOT NULL, "expiresAt" timestamptz);
		INSERT INTO "user" SELECT 'u' || n, 'Emmy', n || '@example.com', '2026-01-02' FROM generate_series(1, 9) AS n;
		INSERT INTO organization SELECT 'o' || n, 'Firm', 'firm', '2026-01-02', '{"plan":"pro"}' FROM generate_series(1, 3) AS n;
		INSERT INTO member SELECT 'm' || n, 'o' || (1 + n % 3), 'u' || n, 'member', '2026-01-02 03:04:05.678' FROM generate_series(1, 9) AS n;
		INSERT INTO invitation VALUES ('i1', 'o1', 'a@example.com', 'member', 'pending', '2030-01-01')`)
	b.integrate(t, provider.BetterAuth, provider.Credentials{}, provider.Options{Source: &provider.UserTables{}}, nil)
	ends := func(kind string) syncrun.Run { return b.runs(t, kind) }
	hook := func(body string) {
		now := time.Now()
		for _, e := range betterauth.New().Decode(provider.Message{MessageID: body, ReceivedAt: now, Body: []byte(body)}, provider.Options{}) {
			require.Equal(t, provider.Apply, e.Verdict, e.Reason)
			b.apply(t, mirror.Event{Event: e, Provider: provider.BetterAuth, InboxID: now.UnixMicro(), ReceivedAt: now})
		}
	}
	all := func(run syncrun.Run) [3]string {
		return [3]string{numbers(t, run, record.Organization), numbers(t, run, record.Membership), numbers(t, run, record.Invitation)}
	}
	const equal = "0 0 0 0; 0 0 0"

	// What the hooks report is what the tables say, in another form.
	hook(`{"event": "member.created", "data": {"id": "m1", "organizationId": "o2", "userId": "u1", "role": "member", "createdAt": "2026-01-02T03:04:05.678Z"}}`)
	hook(`{"event": "organization.created", "data": {"id": "o1", "name": "Firm", "slug": "firm", "createdAt": "2026-01-02T00:00:00.000Z", "metadata": {"plan": "pro"}}}`)
	run := ends(provider.KindReconcile)
	require.Equal(t, [3]string{"2 0 0 0; 2 0 0", "8 0 0 0; 8 0 0", "1 0 0 0; 1 0 0"}, all(run), "%+v", run.Drift.Records)

	b.exec(t, `
		DELETE FROM member WHERE id IN ('m1', 'm2');
		UPDATE member SET role = 'owner' WHERE id = 'm3';
		DELETE FROM organization WHERE id = 'o3';
		DELETE FROM member WHERE "organizationId" = 'o3';
		DELETE FROM invitation`)
	hook(`{"event": "member.updated", "data": {"id": "m4", "organizationId": "o2", "userId": "u4", "role": "member", "createdAt": "2026-01-02T03:04:05.678Z"}}`)
	run = ends(provider.KindReconcile)
	require.Equal(t, [3]string{"0 0 0 1; 1 0 0", "0 1 0 1; 2 0 0", "0 0 0 1; 1 0 0"}, all(run), "%+v", run.Drift.Records)
	require.Equal(t, "o1/u3/owner o1/u6/member o1/u9/member o2/u4/member o2/u7/member", one(t, b.project, `
		SELECT string_agg(concat_ws('/', organization_id, user_id, role), ' ' ORDER BY organization_id, user_id) FROM capydb_auth.active_memberships`))
	require.Equal(t, [3]string{equal, equal, equal}, all(ends(provider.KindReconcile)))
}
