package syncrun_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/rapidtest"
)

// What may happen to users, organizations and memberships beside a run.
const (
	putOne     = iota // it comes or changes, with its webhook
	removeOne         // with its webhook
	restoreOne        // a removal is taken back, of which neither webhook nor clock tell
	editOne           // its name or role changes, of which neither webhook nor clock tell
	arriveOne         // one of the webhooks under way arrives
	repeatOne         // it arrives, and will once more
)

type deed struct {
	kind, n int
	of      record.Type
	id      string
	lost    bool // the webhook never arrives
}

func deeds() *rapid.Generator[deed] {
	ids := map[record.Type][]string{record.User: {"a", "b"}, record.Organization: {"x", "y"}, record.Membership: {"x/a", "x/b", "y/a", "y/b"}}
	kinds := []int{putOne, putOne, putOne, removeOne, restoreOne, editOne, arriveOne, arriveOne, arriveOne, repeatOne}
	return rapid.Custom(func(t *rapid.T) deed {
		of := rapid.SampledFrom([]record.Type{record.User, record.Organization, record.Membership, record.Membership}).Draw(t, "of")
		return deed{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"), n: rapid.IntRange(0, 99).Draw(t, "n"), of: of,
			id: rapid.SampledFrom(ids[of]).Draw(t, "id"), lost: rapid.Bool().Draw(t, "lost"),
		}
	})
}

// saga is a story of users, organizations and memberships. In a calm one webhooks tell of everything, and so
// have to end in the provider's state by themselves: no later reconcile hides what a run has undone.
type saga struct {
	*story

	account society
	calm    bool
	had     map[record.Ref]bool // what has been there
}

// calmed is a deed as a calm story has it: nothing is lost or happens silently.
func (s *saga) calmed(d deed) deed {
	d.lost = false
	switch d.kind {
	case restoreOne, editOne:
		d.kind = arriveOne
	case putOne:
		ref := record.Ref{Type: d.of, ID: d.id}
		if !s.account.has(d.of, d.id) && s.had[ref] && !s.account.comesBackNew(d.of) {
			d.kind = arriveOne
		}
	}
	return d
}

func (s *saga) do(d deed) error {
	if s.calm {
		d = s.calmed(d)
	}
	ref := record.Ref{Type: d.of, ID: d.id}
	exists, value := s.account.has(d.of, d.id), fmt.Sprint("n", d.n)
	switch {
	case d.kind == putOne && s.isPossible(ref):
		s.drifts = s.drifts || !exists && s.had[ref] && !s.account.comesBackNew(d.of)
		s.had[ref] = true
		s.send(d.lost, s.account.put(d.of, d.id, value)...)
	case d.kind == removeOne && exists:
		s.send(d.lost, s.account.remove(d.of, d.id)...)
	case d.kind == restoreOne && d.of == record.Organization && !exists && s.had[ref]:
		s.drifts = true
		s.account.restore(d.id, value)
	case d.kind == editOne && d.of != record.User && exists:
		s.drifts = true
		s.account.edit(d.of, d.id, "quiet"+value)
	case (d.kind == arriveOne || d.kind == repeatOne) && len(s.underway) > 0:
		i := d.n % len(s.underway)
		if d.kind == repeatOne {
			s.underway = append(s.underway, s.underway[i])
		}
		return s.deliver(i)
	}
	return nil
}

// populate makes some records of each type, most of which the mirror has heard of; an empty list of users
// would delete nobody.
func (s *saga) populate(rt rapidtest.T) {
	for _, ref := range []record.Ref{
		{Type: record.User, ID: "anchor"},
		{Type: record.User, ID: "a"},
		{Type: record.Organization, ID: "x"},
		{Type: record.Organization, ID: "y"},
		{Type: record.Membership, ID: "x/a"},
		{Type: record.Membership, ID: "y/a"},
	} {
		require.NoError(rt, s.do(deed{kind: putOne, of: ref.Type, id: ref.ID}))
	}
	for range len(s.underway) - rapid.SampledFrom([]int{0, 0, 1}).Draw(rt.T, "not heard of") {
		require.NoError(rt, s.deliver(0))
	}
}

// isPossible reports whether what a membership belongs to exists.
func (s *saga) isPossible(ref record.Ref) bool {
	organizationID, userID, of := record.SplitMembershipID(ref.ID)
	return !of || s.account.has(record.Organization, organizationID) && s.account.has(record.User, userID)
}

// mirroredRecords is what the mirror has, in the form of the truth.
func (b *testBundle) mirroredRecords(t require.TestingT) map[string]string {
	rows, err := b.project.Query(context.Background(), `
		SELECT 'user ' || id, first_name FROM capydb_auth.active_users
		UNION ALL SELECT 'organization ' || id, name FROM capydb_auth.active_organizations
		UNION ALL SELECT 'membership ' || capydb_auth.membership_id(organization_id, user_id), coalesce(array_to_string(roles, ','), '')
		FROM capydb_auth.active_memberships`)
	require.NoError(t, err)
	all := map[string]string{}
	var id, is string
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error { all[id] = is; return nil })
	require.NoError(t, err)
	return all
}

// TestRunsAndWebhooksOfRecordsInterleavedEndInTheProvidersState does with users, organizations and
// memberships what TestRunsAndWebhooksInterleavedEndInTheProvidersState does with users, in the form of each
// provider: Auth0 tells of roles one by one, and its answers lag; Better Auth is read from its tables.
func TestRunsAndWebhooksOfRecordsInterleavedEndInTheProvidersState(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(rt rapidtest.T, b *testBundle) society{
		provider.Clerk: func(rapidtest.T, *testBundle) society { return newMemory(inClerk{}, 0, nil) },
		provider.Auth0: func(rt rapidtest.T, _ *testBundle) society {
			return newMemory(inAuth0{}, 120*time.Millisecond, rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 2, 3, 5}), 1, 7).Draw(rt.T, "answers lag by"))
		},
		provider.BetterAuth: func(_ rapidtest.T, b *testBundle) society { return newInTables(b.project) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, 0)
			b.exec(t, societyTables)
			accounts := &current{}
			b.provider, b.accounts, b.store = name, accounts, syncrun.NewStore(b.control, accounts)
			b.work(t, b.mirrors, 0)
			rapid.Check(t, func(drawn *rapid.T) {
				rt := rapidtest.Loud(t, drawn)
				_, err := b.project.Exec(context.Background(), `
					TRUNCATE capydb_auth.users, capydb_auth.organizations, capydb_auth.memberships, capydb_auth.processed_events, capydb_auth.changes`)
				require.NoError(rt, err)
				s := &saga{&story{testBundle: b}, begin(rt, b), rapid.Bool().Draw(rt.T, "calm"), map[record.Ref]bool{}}
				accounts.set(s.account)
				for _, d := range rapid.SliceOfN(deeds(), 5, 40).Draw(rt.T, "script") {
					s.script = append(s.script, func() error { return s.do(d) })
				}
				s.populate(rt)
				s.tell(rt, s.account.setStep, s.account.settle)
				require.Equal(rt, s.account.truth(), b.mirroredRecords(rt))
			})
		})
	}
}
