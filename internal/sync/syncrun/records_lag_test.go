package syncrun_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// setupAuth0 makes a project whose provider is a tenant with organizations, and a worker. The mirror
// equals it, as of more than a minute ago.
func setupAuth0(t *testing.T, organizations int) (*testBundle, *demoprovider.Auth0) {
	t.Helper()
	b := setup(t, 0, 0)
	clock := userapitest.NewClock()
	clock.Advance(time.Since(clock.Now()) - 2*time.Minute)
	fake := demoprovider.NewAuth0(demoprovider.NewAccount(5), clock.Now)
	fake.Scope = "read:users " + demoprovider.Auth0OrganizationScopes
	for i := range organizations {
		fake.Organizations.Add(fmt.Sprint("Firm ", i), []demoprovider.Member{{User: 0, Role: "admin"}, {User: 1, Role: "member"}})
	}
	b.integrate(t, provider.Auth0, provider.Credentials{
		Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret,
	}, provider.Options{BaseURL: userapitest.Start(t, fake)}, clock)
	b.runs(t, provider.KindBackfill)
	clock.Advance(time.Since(clock.Now()))
	return b, fake
}

// auth0Says applies what an event of Auth0 says about what has happened now.
func (b *testBundle) auth0Says(t require.TestingT, kind, object string) {
	b.apply(t, auth0Event(kind, object, time.Now()))
}

func auth0Event(kind, object string, at time.Time) mirror.Event {
	d := provider.Message{InboxID: at.UnixMilli(), MessageID: fmt.Sprint("msg_", at.UnixMicro()), ReceivedAt: at.Add(time.Millisecond), Body: fmt.Appendf(nil,
		`{"specversion": "1.0", "type": %q, "source": "urn:auth0:", "id": "evt_%022d", "time": %q, "data": {"object": %s}}`,
		kind, at.UnixMicro(), at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), object)}
	e := auth0.New().Decode(d, provider.Options{})[0]
	if e.Verdict != provider.Apply {
		panic(e.Reason)
	}
	return mirror.Event{Event: e, Provider: provider.Auth0, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt}
}

func auth0Member(organization, user int, more string) string {
	return fmt.Sprintf(`{"organization": {"id": %q, "name": "firm"}, "user": {"user_id": %q}%s}`,
		demoprovider.Auth0OrganizationID(organization), demoprovider.Auth0ID(user), more)
}

// startRunsAt has each run start at that time, however long those before it took.
func (b *testBundle) startRunsAt(t *testing.T, at time.Time) {
	t.Helper()
	_, err := b.control.Exec(t.Context(), fmt.Sprintf(`
		CREATE FUNCTION public.start_run() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			NEW.started_at := timestamptz '%s' + (SELECT count(*) FROM authsync.sync_runs) * interval '1 millisecond';
			RETURN NEW;
		END $$;
		CREATE TRIGGER start_run BEFORE INSERT ON authsync.sync_runs FOR EACH ROW EXECUTE FUNCTION public.start_run()`, at.Format(time.RFC3339Nano)))
	require.NoError(t, err)
}

// All that Auth0 answers here is as it was before the events, as its lists may be for some seconds: neither
// a reconcile nor a backfill undoes what the mirror has just heard, and the former says what it left.
func TestAnswersThatLagUndoNothing(t *testing.T) {
	t.Parallel()
	b, fake := setupAuth0(t, 6)
	b.startRunsAt(t, time.Now())
	const admins = `, "role": {"id": "rol_1", "name": "owner"}`
	b.auth0Says(t, "organization.updated", fmt.Sprintf(`{"id": %q, "name": "new", "display_name": "New"}`, demoprovider.Auth0OrganizationID(0)))
	b.auth0Says(t, "organization.deleted", fmt.Sprintf(`{"id": %q, "name": "firm-1"}`, demoprovider.Auth0OrganizationID(1)))
	b.auth0Says(t, "organization.created", fmt.Sprintf(`{"id": %q, "name": "created"}`, demoprovider.Auth0OrganizationID(9)))
	b.auth0Says(t, "organization.member.deleted", auth0Member(2, 0, ""))
	b.auth0Says(t, "organization.member.added", auth0Member(2, 2, ""))
	b.auth0Says(t, "organization.member.role.assigned", auth0Member(3, 0, admins))
	b.auth0Says(t, "organization.member.role.deleted", auth0Member(4, 1, strings.ReplaceAll(admins, "owner", "member")))
	state := func() string {
		return one(t, b.project, `
			SELECT (SELECT string_agg(name, ',' ORDER BY id) FROM capydb_auth.active_organizations) || '; ' ||
				(SELECT string_agg(right(organization_id, 1) || right(user_id, 1) || coalesce(roles::text, '-'), ' ' ORDER BY organization_id, user_id) FROM capydb_auth.active_memberships)`)
	}
	heard := state()
	require.Equal(t, "New,Firm 2,Firm 3,Firm 4,Firm 5,created; "+
		"00{admin} 01{member} 21{member} 22- 30{admin,owner} 31{member} 40{admin} 41{} 50{admin} 51{member}", heard)

	for _, kind := range []string{provider.KindReconcile, provider.KindBackfill} {
		run := b.runs(t, kind)
		require.Equal(t, heard, state(), kind)
		if kind == provider.KindReconcile {
			require.Zero(t, run.Drift.Found(), "%+v", run.Drift.Records)
			require.Equal(t, []int64{0, 2, 3}, []int64{run.Drift.Recent, run.Drift.Records[record.Organization].Recent, run.Drift.Records[record.Membership].Recent})
			require.Contains(t, strings.Join(run.Report.Notes, "\n"), "2 organizations may differ only because the answers of Auth0 lag behind its events by up to 1m0s")
			require.Contains(t, strings.Join(run.Report.Notes, "\n"), "3 memberships may differ")
		}
	}

	// What was never reported is repaired beside it.
	fake.Organizations.Change(5, func(of *demoprovider.Organization) { of.Name = "Silently" })
	run := b.runs(t, provider.KindReconcile)
	require.Equal(t, "0 1 0 0; 1 0 0", numbers(t, run, record.Organization))
	require.Equal(t, strings.Replace(heard, "Firm 5", "Silently", 1), state())

	// Once the events are older than what Auth0 is certain to know, its answers count.
	b.exec(t, `UPDATE capydb_auth.organizations SET last_event_processed = now() - interval '5 minutes' WHERE name IN ('New', 'created') OR deleted_at IS NOT NULL`)
	run = b.runs(t, provider.KindReconcile)
	require.Equal(t, "0 1 1 1; 3 0 0", numbers(t, run, record.Organization))
	require.Contains(t, state(), "Firm 0,Firm 1,Firm 2,Firm 3,Firm 4,Silently; 00")
}
