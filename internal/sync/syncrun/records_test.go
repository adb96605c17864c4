package syncrun_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// organized is an account that has organizations, too: number 0 to n-1, each with a member.
type organized struct {
	*tenant

	mu            sync.Mutex
	organizations int
	options       provider.Options
	role          func(i int) string
	// fails is asked before each page of records.
	fails func(cursor string) error
	// stuckAt is a cursor that is its own next one; empty: there is none.
	stuckAt string
	// hidden are the organizations, and their members, that the lists do not show. left are those
	// whose member has left.
	hidden, left func(i int) bool
	// unlisted are types whose lists are not complete.
	unlisted []record.Type
	asked    []record.Ref // what was asked for one by one
}

func (o *organized) Open(ctx context.Context, projectID uuid.UUID, name string) (source.Account, error) {
	account, err := o.tenant.Open(ctx, projectID, name)
	o.mu.Lock()
	defer o.mu.Unlock()
	account.Options = o.options
	account.Digest = fmt.Sprint(o.options.RecordTypes)
	account.Source = &organizedSource{account.Source, o}
	return account, err
}

type organizedSource struct {
	userapi.Source
	*organized
}

func (s *organizedSource) Count(ctx context.Context) (int64, bool, error) { return s.Source.Count(ctx) }

func (s *organizedSource) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	return s.Source.Page(ctx, cursor)
}

func (s *organizedSource) User(ctx context.Context, id string) (userapi.User, error) {
	return s.Source.User(ctx, id)
}

func (s *organizedSource) Close() error { return s.tenant.Close() }

// Records gives the organizations of a page, with their members.
func (s *organizedSource) Records(_ context.Context, cursor string) (page userapi.RecordPage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		if err := s.fails(cursor); err != nil {
			return page, err
		}
	}
	first, _ := strconv.Atoi(cursor)
	last := min(first+s.pageSize, s.organizations)
	at := time.Now()
	page.Unlist("a part of it may not be read", s.unlisted...)
	for i := first; i < last; i++ {
		if s.hidden != nil && s.hidden(i) {
			continue
		}
		organization, membership := s.objects(i)
		page.Records = append(page.Records, userapi.Record{Type: record.Organization, FetchedAt: at, Object: organization})
		if s.left == nil || !s.left(i) {
			page.Records = append(page.Records, userapi.Record{Type: record.Membership, FetchedAt: at, Object: membership})
		}
	}
	if last < s.organizations {
		page.Next = strconv.Itoa(last)
	}
	if s.stuckAt != "" && cursor == s.stuckAt {
		page.Next = cursor
	}
	return page, nil
}

// Record reads an organization or a membership.
func (s *organizedSource) Record(_ context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, ref.Ref)
	if ref.Type == record.Invitation && ref.OrganizationID == "" {
		return userapi.Record{}, userapi.Unreadable(ref)
	}
	for i := range s.organizations {
		organization, membership := s.objects(i)
		switch ref.ID {
		case fmt.Sprintf("org_%06d", i):
			return userapi.Record{Type: ref.Type, FetchedAt: time.Now(), Object: organization}, nil
		case fmt.Sprintf("org_%06d/user_%06d", i, i):
			if s.left != nil && s.left(i) {
				break
			}
			return userapi.Record{Type: ref.Type, FetchedAt: time.Now(), Object: membership}, nil
		}
	}
	return userapi.Record{}, userapi.ErrGone
}

// objects are organization i and its member.
func (s *organizedSource) objects(i int) (organization, membership []byte) {
	role := "member"
	if s.role != nil {
		role = s.role(i)
	}
	return fmt.Appendf(nil, `{"id": "org_%06d", "name": "Firm %d", "slug": "firm-%d", "updated_at": 1760000000000}`, i, i, i),
		fmt.Appendf(nil, `{"id": "orgmem_%d", "role": %q, "organization": {"id": "org_%06d"},
			"public_user_data": {"user_id": "user_%06d"}, "updated_at": 1760000000000}`, i, role, i, i)
}

// setupOrganized makes a project whose provider has users and organizations.
func setupOrganized(tb testing.TB, users, organizations int) (*testBundle, *organized) {
	tb.Helper()
	b := setup(tb, users, 250)
	o := &organized{tenant: b.account, organizations: organizations}
	b.accounts, b.store = o, syncrun.NewStore(b.control, o)
	return b, o
}

// others reads what the mirror holds beside users: organizations, memberships, and changes of them.
func (b *testBundle) others(tb testing.TB) string {
	tb.Helper()
	return one(tb, b.project, `
		SELECT concat_ws(' ', (SELECT count(*) FROM capydb_auth.organizations WHERE deleted_at IS NULL), (SELECT count(*) FROM capydb_auth.memberships WHERE deleted_at IS NULL),
			(SELECT count(*) FROM capydb_auth.changes WHERE record_type <> 'user'))`)
}

func TestBackfillReadsRecordsAfterTheUsers(t *testing.T) {
	t.Parallel()
	b, _ := setupOrganized(t, 1000, 600)
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, map[record.Type]int64{record.User: 1000, record.Organization: 600, record.Membership: 600}, run.Report.Records)
	require.Equal(t, []int64{2200, 2200, 0, 0}, []int64{run.Read, run.Applied, run.Unchanged, run.Failed})
	require.Equal(t, int64(1000), *run.Total, "that of the users")
	require.Equal(t, syncrun.Records, run.Phase)
	require.Equal(t, "600 600 1200", b.others(t))
	require.Equal(t, "member {member}", one(t, b.project, `SELECT role || ' ' || roles::text FROM capydb_auth.memberships WHERE user_id = 'user_000007'`))

	b.start(t)
	run = b.ends(t, syncrun.Done)
	require.Equal(t, []int64{2200, 0, 2200, 0}, []int64{run.Read, run.Applied, run.Unchanged, run.Failed})
	require.Equal(t, "600 600 1200", b.others(t), "equal content is no change")
}

func TestBackfillLeavesRecordsOutThatAreNotMirrored(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 300, 600)
	o.options.RecordTypes = []string{provider.MirrorUsers}
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, map[record.Type]int64{record.User: 300}, run.Report.Records)
	require.Equal(t, syncrun.Walk, run.Phase)
	require.Equal(t, "0 0 0", b.others(t))
}

// Organizations are turned off while they are read.
func TestBackfillStopsReadingRecordsThatAreTurnedOff(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 10, 600)
	o.fails = func(cursor string) error {
		if cursor == "" {
			return nil
		}
		o.options.RecordTypes = []string{provider.MirrorUsers} // the next slice opens the account anew
		return fault.New(fault.ProviderUnavailable, "it is unavailable")
	}
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, int64(250), run.Report.Records[record.Organization])
	require.Equal(t, "250 250 500", b.others(t), "what is there stays")
}

// A list that cannot be read does not take the users with it.
func TestBackfillReportsListsThatFail(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 300, 600)
	o.fails = func(cursor string) error {
		if cursor == "" {
			return nil
		}
		return userapi.NoProgressOf("organizations", "Clerk", "it begins anew", 250, 600)
	}
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, []int64{800, 800, 1}, []int64{run.Read, run.Applied, run.Failed})
	require.Contains(t, run.Report.Bad[0].Reason, "it begins anew")
	require.Equal(t, "300", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
}

func TestBackfillEndsAWalkThatStandsStill(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 300, 600)
	o.stuckAt = "250"
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, []int64{800, 1}, []int64{run.Read, run.Failed})
	require.Contains(t, run.Report.Bad[0].Reason, "the walk stands still. 500 records were read so far", "users are none of them")
}

// Credentials that are refused are refused for all lists: a person has to change them.
func TestBackfillFailsIfItsCredentialsAreRefusedForRecords(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 300, 600)
	o.fails = func(cursor string) error {
		if cursor == "" {
			return nil
		}
		return fault.New(fault.CredentialsRefused, "Clerk refuses credentials.secret_key (401)")
	}
	b.start(t)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Failed)
	require.Contains(t, *run.Error, "Clerk refuses credentials.secret_key (401)")
	require.Equal(t, []int64{800, 800, 0}, []int64{run.Read, run.Applied, run.Failed})
}

// The provider is unavailable after each page, so that each is read by a slice of its own.
func TestBackfillGoesOnBehindTheLastPageOfRecords(t *testing.T) {
	t.Parallel()
	b, o := setupOrganized(t, 10, 2000)
	asked := map[string]int{}
	o.fails = func(cursor string) error {
		if asked[cursor]++; asked[cursor] == 1 {
			return fault.New(fault.ProviderUnavailable, "it is unavailable")
		}
		return nil
	}
	b.start(t)
	b.work(t, b.mirrors, time.Nanosecond)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, []int64{4010, 4010, 0}, []int64{run.Read, run.Applied, run.Failed})
	require.Len(t, asked, 8)
	for cursor, times := range asked {
		require.Equal(t, 2, times, "page %q", cursor)
	}
}

// Auth0 gives neither organizations nor members a clock, so that each reading is newer than the one
// before: equal content is no change all the same, and roles are the whole set.
func TestRecordsWithoutAClock(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	clock := userapitest.NewClock()
	fake := demoprovider.NewAuth0(demoprovider.NewAccount(5), clock.Now)
	fake.Scope = "read:users " + demoprovider.Auth0OrganizationScopes
	for i := range 3 {
		fake.Organizations.Add(fmt.Sprint("Firm ", i), []demoprovider.Member{{User: 0, Role: "admin"}, {User: 1, Role: "member"}}, demoprovider.Invitation{Email: "a@example.com"})
	}
	b.integrate(t, provider.Auth0, provider.Credentials{
		Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret,
	}, provider.Options{BaseURL: userapitest.Start(t, fake)}, clock)
	ends := func(kind string) syncrun.Run {
		clock.Advance(time.Minute)
		return b.runs(t, kind)
	}
	run := ends(provider.KindBackfill)
	require.Equal(t, map[record.Type]int64{record.User: 5, record.Organization: 3, record.Membership: 6, record.Invitation: 3}, run.Report.Records)
	require.Contains(t, run.Report.Notes[0], "for 3 organizations that is at least 7 calls")
	roles := func() string {
		return one(t, b.project, `SELECT string_agg(concat_ws(' ', roles, role), ' ' ORDER BY organization_id, user_id) FROM capydb_auth.memberships`)
	}
	require.Equal(t, "{admin} {member} {admin} {member} {admin} {member}", roles())
	changes := func() string { return one(t, b.project, `SELECT count(*)::text FROM capydb_auth.changes`) }
	before := changes()

	for _, kind := range []string{provider.KindBackfill, provider.KindReconcile} {
		run = ends(kind)
		require.Equal(t, []int64{17, 0, 17, 0}, []int64{run.Read, run.Applied, run.Unchanged, run.Failed}, kind)
		require.Equal(t, before, changes(), "nothing has changed")
	}

	fake.Organizations.Change(1, func(of *demoprovider.Organization) {
		of.Members[1].Role = "billing"
		of.Members = append(of.Members, demoprovider.Member{User: 2})
	})
	run = ends(provider.KindReconcile)
	require.Equal(t, int64(2), run.Applied)
	require.Equal(t, "{admin} {member} {admin} {billing} {} {admin} {member}", roles())
	require.Equal(t, "1 1 0 0; 2 0 0", numbers(t, run, record.Membership))

	// An organization is deleted, a member leaves and an invitation is accepted, of which nothing tells.
	fake.Organizations.Remove(2)
	fake.Organizations.Change(1, func(of *demoprovider.Organization) { of.Members, of.Invitations = of.Members[1:], nil })
	run = ends(provider.KindReconcile)
	require.Equal(t, []string{"0 0 0 1; 1 0 0", "0 0 0 1; 1 0 0", "0 0 0 2; 2 0 0"},
		[]string{numbers(t, run, record.Organization), numbers(t, run, record.Membership), numbers(t, run, record.Invitation)})
	require.Equal(t, "2 4 1", one(t, b.project, `
		SELECT concat_ws(' ', (SELECT count(*) FROM capydb_auth.active_organizations), (SELECT count(*) FROM capydb_auth.active_memberships),
			(SELECT count(*) FROM capydb_auth.invitations WHERE deleted_at IS NULL))`))
	require.Zero(t, ends(provider.KindReconcile).Drift.Found())

	// Auth0's lists lag behind its events: what is missing may be a member who has just been added.
	fake.Organizations.Change(0, func(of *demoprovider.Organization) { of.Members = of.Members[:1] })
	for since, ended := range map[string]string{"50 seconds": "0 0 0 0; 0 0 0", "70 seconds": "0 0 0 1; 1 0 0"} {
		b.exec(t, `UPDATE capydb_auth.memberships SET own_deleted_at = NULL, deleted_at = NULL, last_event_processed = now() - $2::interval WHERE organization_id = $1 AND roles = '{member}'`,
			demoprovider.Auth0OrganizationID(0), since)
		require.Equal(t, ended, numbers(t, ends(provider.KindReconcile), record.Membership), since)
	}
}
