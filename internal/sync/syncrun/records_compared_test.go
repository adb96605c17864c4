package syncrun_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// setupMirrored makes a project whose mirror equals its provider, with a worker. Its changes are
// forgotten.
func setupMirrored(t *testing.T, users, organizations int) (*testBundle, *organized) {
	t.Helper()
	b, o := setupOrganized(t, users, organizations)
	b.start(t)
	b.work(t, b.mirrors, 0)
	b.ends(t, syncrun.Done)
	b.exec(t, `TRUNCATE capydb_auth.changes`)
	return b, o
}

func (b *testBundle) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := b.project.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// change changes what the account holds.
func (o *organized) change(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *organized) askedFor() []record.Ref {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// numbers are the findings about a type: missing, differing, deleted here, orphaned; repaired, failed, left.
func numbers(t *testing.T, run syncrun.Run, of record.Type) string {
	t.Helper()
	d := run.Drift.Records[of]
	require.NotNil(t, d, "%s was compared", of)
	return fmt.Sprint(d.Missing, d.Differing, d.DeletedHere, d.Orphaned, "; ", d.Repaired, d.Failed, d.Left)
}

func organization(i int) string { return fmt.Sprintf("org_%06d", i) }

func membership(i int) string { return fmt.Sprintf("org_%06d/user_%06d", i, i) }

func only(numbers ...int) func(int) bool {
	return func(i int) bool { return slices.Contains(numbers, i) }
}

// The end of a membership was never reported, an organization was deleted without a word, and others
// differ: a dry run says so, and a run repairs it.
func TestReconcileComparesRecords(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 300, 300)
	b.exec(t, `DELETE FROM capydb_auth.memberships WHERE user_id = 'user_000003'`)
	b.exec(t, `UPDATE capydb_auth.organizations SET deleted_at = now() WHERE id = 'org_000007'`)
	o.change(func() {
		o.organizations = 299
		o.left = only(10)
		o.role = func(i int) string { return map[bool]string{true: "admin", false: "member"}[i == 5] }
	})
	expect := []mirror.Drifted{
		{RecordID: membership(3), Finding: mirror.Missing, Columns: []string{}, State: mirror.StateFound},
		{RecordID: membership(5), Finding: mirror.Differing, Columns: []string{"role", "roles", "raw"}, State: mirror.StateFound},
		{RecordID: membership(10), Finding: mirror.Orphaned, Columns: []string{}, State: mirror.StateFound},
	}
	for _, kind := range []string{"dry", "repairs", "finds nothing more"} {
		run := b.reconcile(t, syncrun.Order{DryRun: kind == "dry"})
		require.Zero(t, run.Drift.TypeDrift.Found(), "users are equal")
		require.Equal(t, map[record.Type]int64{record.User: 300, record.Organization: 299, record.Membership: 298}, run.Report.Records)
		require.Empty(t, run.Report.Notes)
		switch kind {
		case "dry":
			require.Equal(t, "0 0 1 1; 0 0 2", numbers(t, run, record.Organization))
			require.Equal(t, "1 1 0 1; 0 0 3", numbers(t, run, record.Membership), "the membership of the orphaned organization follows it")
			require.Equal(t, expect, run.Drift.Records[record.Membership].Examples)
			require.Equal(t, map[string]int64{"role": 1, "roles": 1, "raw": 1}, run.Drift.Records[record.Membership].Columns)
			require.Equal(t, "299 299 0", b.others(t), "it has changed nothing")
		case "repairs":
			require.Equal(t, "0 0 1 1; 2 0 0", numbers(t, run, record.Organization))
			require.Equal(t, "1 1 0 1; 3 0 0", numbers(t, run, record.Membership))
			for i := range expect {
				expect[i].State = mirror.StateRepaired
			}
			require.Equal(t, expect, run.Drift.Records[record.Membership].Examples)
			require.Equal(t, "299 298 6", b.others(t), "a change each, and the one that follows")
			require.Equal(t, "admin", one(t, b.project, `SELECT role FROM capydb_auth.memberships WHERE user_id = 'user_000005'`))
			require.Equal(t, "t t", one(t, b.project, `
				SELECT concat_ws(' ', (SELECT deleted_at = $1 FROM capydb_auth.memberships WHERE user_id = 'user_000010'),
					(SELECT deleted_at = $1 FROM capydb_auth.organizations WHERE id = 'org_000299'))`, run.StartedAt),
				"they were gone when the run began")
		default:
			require.Zero(t, run.Drift.Found())
			require.Equal(t, "299 298 6", b.others(t))
		}
	}
}

// What the mirror has deleted comes back if the provider lists it again, with clocks from before the
// deletion; and an event that is newer than the deletion wins by itself.
func TestRecordsThatAReconcileDeletedComeBack(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 30, 30)
	o.change(func() { o.organizations, o.left = 29, only(3, 4) })
	b.reconcile(t, syncrun.Order{})
	require.Equal(t, "29 27 4", b.others(t))

	object := fmt.Sprintf(`{"id": "orgmem_4", "role": "member", "organization": {"id": "org_000004"}, "public_user_data": {"user_id": "user_000004"}, "updated_at": %d}`,
		time.Now().UnixMilli())
	e := clerk.New().DecodeRecord(record.Membership, []byte(object), provider.Import{RunID: "webhook", Kind: "event", FetchedAt: time.Now(), Whole: true}, provider.Options{})
	b.apply(t, mirror.Event{Event: e, Provider: provider.Clerk, ReceivedAt: time.Now()})
	require.Equal(t, "29 28 5", b.others(t))

	o.change(func() { o.organizations, o.left = 30, nil })
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 1 0; 1 0 0", numbers(t, run, record.Organization))
	require.Equal(t, "30 30 9", b.others(t), "the organization, its membership, that of user 3, and that of user 4, which is as it was before")
	require.Zero(t, b.reconcile(t, syncrun.Order{}).Drift.Found())
}

// An organization that comes back in a run brings no membership back that ended meanwhile.
func TestMembershipsOfARestoredOrganizationAreCompared(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 60, 60)
	// By an event that is newer than what the list has of it, so that it is looked up at the end of the run.
	b.exec(t, `
		UPDATE capydb_auth.organizations
		SET deleted_at = now(), last_event_processed = now(), last_event_sent_at = now(), last_event_id = 'evt_deleted', last_event_fields = 256
		WHERE id = 'org_000007'`)
	b.exec(t, `UPDATE capydb_auth.memberships SET deleted_at = now() WHERE organization_id = 'org_000007'`) // as its organization is
	o.change(func() { o.left = only(7) })
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 1 0; 1 0 0", numbers(t, run, record.Organization))
	require.Equal(t, "0 0 0 1; 1 0 0", numbers(t, run, record.Membership))
	require.Equal(t, "1", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.memberships WHERE deleted_at IS NOT NULL`))
	require.Zero(t, b.reconcile(t, syncrun.Order{}).Drift.Found())
}

// A list lacks what exists. The proof of each deletion is a look-up of its own.
func TestReconcileAsksForEachRecordBeforeItIsDeleted(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 300, 300)
	o.change(func() { o.hidden, o.left = only(7), only(9) })
	run := b.reconcile(t, syncrun.Order{})
	require.ElementsMatch(t, []record.Ref{{Type: record.Organization, ID: organization(7)}, {Type: record.Membership, ID: membership(9)}}, o.askedFor())
	require.Equal(t, "0 0 0 0; 0 0 0", numbers(t, run, record.Organization))
	require.Equal(t, "0 0 0 1; 1 0 0", numbers(t, run, record.Membership))
	require.Equal(t, "300 299 1", b.others(t))
}

// What the lists cannot know of is neither asked for nor deleted: what is newer than the run, and
// what another provider has.
func TestReconcileLeavesWhatTheListsCannotKnow(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 30, 30)
	b.exec(t, `UPDATE capydb_auth.organizations SET provider = 'auth0' WHERE id = 'org_000029'`)
	b.exec(t, `UPDATE capydb_auth.memberships SET provider = 'auth0' WHERE user_id = 'user_000029'`)
	b.exec(t, `UPDATE capydb_auth.organizations SET last_event_processed = now() + interval '1 minute' WHERE id = 'org_000028'`)
	b.exec(t, `UPDATE capydb_auth.memberships SET last_event_processed = now() + interval '1 minute' WHERE user_id = 'user_000028'`)
	o.change(func() { o.organizations = 28 })
	run := b.reconcile(t, syncrun.Order{Force: true})
	require.Zero(t, run.Drift.Found())
	require.Empty(t, o.askedFor())
	require.Equal(t, "30 30 0", b.others(t))
}

// A placeholder that the provider does not know is treated as that of a user is.
func TestReconcileGivesUpPlaceholdersOfOrganizations(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	l := newMemory(inClerk{}, 0, nil)
	b.accounts, b.store = l, syncrun.NewStore(b.control, l)
	b.work(t, b.mirrors, 0)
	b.apply(t, l.put(record.User, "anchor", "Anchor")...)
	l.put(record.Organization, "x", "late")
	b.exec(t, `SELECT capydb_auth.ensure_organization('x'), capydb_auth.ensure_organization('nowhere')`)
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "1 0 0 0; 2 0 0", numbers(t, run, record.Organization))
	require.Equal(t, int64(1), run.Drift.Records[record.Organization].Placeholders)
	require.Equal(t, map[string]string{"user anchor": "Anchor", "organization x": "late"}, b.mirroredRecords(t))
	require.Equal(t, "1", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.organizations WHERE id = 'nowhere' AND deleted_at IS NOT NULL`))
}

// Most invitations end by being accepted: that many of them are gone is no sign of another account.
func TestReconcileEndsManyInvitations(t *testing.T) {
	t.Parallel()
	b, _ := setupMirrored(t, 30, 30)
	b.exec(t, `
		INSERT INTO capydb_auth.invitations (id, organization_id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('orginv_%s', i), 'org_000001', 'clerk', '2025-01-01', '2025-01-01', 'evt', 256 FROM generate_series(1, 40) AS i`)
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 0 40; 40 0 0", numbers(t, run, record.Invitation))

	b.exec(t, `UPDATE capydb_auth.invitations SET deleted_at = NULL`)
	b.exec(t, `UPDATE capydb_auth.users SET last_event_processed = '2025-01-01', id = 'another_' || id`) // another account's
	run = b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 0 40; 0 0 40", numbers(t, run, record.Invitation))
	require.NotNil(t, run.Drift.Records[record.Invitation].DeletionsBlockedReason)
}

// Records that cannot be looked up stay, with a reason; the run goes on.
func TestReconcileKeepsRecordsThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 30, 30)
	b.exec(t, `
		INSERT INTO capydb_auth.invitations (id, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('orginv_%s', i), 'clerk', '2025-01-01', '2025-01-01', 'evt', 256 FROM generate_series(1, 40) AS i`)
	o.change(func() { o.left = only(3) })
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 0 40; 0 40 0", numbers(t, run, record.Invitation))
	require.Equal(t, "0 0 0 1; 1 0 0", numbers(t, run, record.Membership))
	require.Equal(t, "invitation orginv_1: invitation orginv_1 cannot be read alone: the mirror does not know which organization it belongs to",
		run.Report.Bad[0].Place+": "+run.Report.Bad[0].Reason)
	require.Equal(t, "40", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.invitations WHERE deleted_at IS NULL`))
}

// A list that was not read to its end deletes nothing and says so; what was read is repaired.
func TestReconcileDeletesNothingByAListThatWasNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(o *organized){
		"ItFails": func(o *organized) {
			o.fails = func(cursor string) error {
				if cursor == "" {
					return nil
				}
				return userapi.NoProgressOf("organizations", "Clerk", "it begins anew", 250, 300)
			}
		},
		"APartIsLeftOut": func(o *organized) {
			o.unlisted = []record.Type{record.Organization, record.Membership, record.Invitation}
		},
		"TheyAreTurnedOff": func(o *organized) {
			o.fails = func(cursor string) error {
				if cursor == "" {
					return nil
				}
				o.options.RecordTypes = []string{provider.MirrorUsers}
				return fault.New(fault.ProviderUnavailable, "it is unavailable")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := setupMirrored(t, 300, 300)
			b.exec(t, `DELETE FROM capydb_auth.memberships WHERE user_id = 'user_000003'`)
			o.change(func() {
				o.left = only(9)
				o.organizations = 299
				fails(o)
			})
			run := b.reconcile(t, syncrun.Order{Force: true})
			require.Equal(t, "0 0 0 0; 0 0 0", numbers(t, run, record.Organization))
			require.Equal(t, "1 0 0 0; 1 0 0", numbers(t, run, record.Membership))
			for _, of := range run.Drift.Records {
				require.NotNil(t, of.UnlistedReason)
			}
			require.Empty(t, o.askedFor())
			require.Equal(t, "300 300 1", b.others(t))
		})
	}
}

// One list fails, and another is whole.
func TestReconcileGuardsEachTypeByItself(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 300, 300)
	o.change(func() {
		o.organizations, o.left = 299, only(9)
		o.unlisted = []record.Type{record.Membership}
	})
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 0 1; 1 0 0", numbers(t, run, record.Organization))
	require.Equal(t, "0 0 0 0; 0 0 0", numbers(t, run, record.Membership))
	require.Equal(t, "299 299 2", b.others(t))
}

// Too many at once are another account's list, unless a person says that they are not.
func TestReconcileHoldsBackManyDeletionsOfRecords(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 300, 300)
	o.change(func() { o.left = func(i int) bool { return i < 16 } })
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, "0 0 0 16; 0 0 16", numbers(t, run, record.Membership))
	require.Contains(t, *run.Drift.Records[record.Membership].DeletionsBlockedReason, "16 of 300 memberships of the mirror were not in the provider's list: 5.3 %")
	require.Empty(t, o.askedFor())
	require.Equal(t, "300 300 0", b.others(t))

	run = b.reconcile(t, syncrun.Order{Force: true})
	require.Equal(t, "0 0 0 16; 16 0 0", numbers(t, run, record.Membership))
	require.Equal(t, "300 284 16", b.others(t))
}

// The last ones of a type may go, if they are few and the account is the right one: the users say so.
func TestAnEmptyListOfRecordsDeletesAFew(t *testing.T) {
	t.Parallel()
	for few, organizations := range map[bool]int{true: 10, false: 11} {
		b, o := setupMirrored(t, 30, organizations)
		o.change(func() { o.left = func(int) bool { return true } })
		run := b.reconcile(t, syncrun.Order{Force: true})
		require.Equal(t, int64(organizations), run.Drift.Records[record.Membership].Orphaned)
		if few {
			require.Equal(t, "10 0 10", b.others(t))
			continue
		}
		require.Equal(t, "the provider listed no membership at all; no membership is deleted by an empty list", *run.Drift.Records[record.Membership].DeletionsBlockedReason)
		require.Equal(t, "11 11 0", b.others(t))
	}
}

// The project's database crashes while the lists are read: nothing is taken for orphaned that was
// read before.
func TestReconcileOfRecordsBeginsAnewIfItsFindingsAreGone(t *testing.T) {
	t.Parallel()
	b, o := setupMirrored(t, 300, 600)
	crashed := false
	o.change(func() {
		o.left = only(9)
		o.fails = func(cursor string) error {
			if cursor == "500" && !crashed {
				crashed = true
				_, err := b.project.Exec(context.Background(), `TRUNCATE capydb_auth.reconcile_findings`) // as recovery does
				return err
			}
			return nil
		}
	})
	run := b.reconcile(t, syncrun.Order{})
	require.Equal(t, 1, run.Drift.Restarts)
	require.Equal(t, "0 0 0 1; 1 0 0", numbers(t, run, record.Membership))
	require.Equal(t, []record.Ref{{Type: record.Membership, ID: membership(9)}}, o.askedFor())
	require.Equal(t, "600 599 1", b.others(t))
}
