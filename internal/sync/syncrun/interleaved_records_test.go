package syncrun_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// livingOrganizations is a living account whose organizations and memberships come, change and go, too.
type livingOrganizations struct {
	*living

	// objects are the organizations and the memberships by their ids.
	objects map[record.Type]map[string]map[string]any
}

func newLivingOrganizations() *livingOrganizations {
	return &livingOrganizations{newLiving(), map[record.Type]map[string]map[string]any{record.Organization: {}, record.Membership: {}}}
}

func (l *livingOrganizations) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	return source.Account{Source: l, Importer: clerk.New(), Alone: true}, nil
}

// Records lists two records a page, by their ids: first the organizations, and then the memberships.
func (l *livingOrganizations) Records(_ context.Context, cursor string) (page userapi.RecordPage, err error) {
	l.next()
	l.mu.Lock()
	defer l.mu.Unlock()
	name, after, _ := strings.Cut(cursor, " ")
	of := record.Organization
	if name != "" {
		of = record.Type(name)
	}
	asked := time.Now()
	for _, id := range slices.Sorted(maps.Keys(l.objects[of])) {
		if id <= after {
			continue
		}
		if len(page.Records) == 2 {
			page.Next = string(of) + " " + after
			return page, nil
		}
		page.Records = append(page.Records, userapi.Record{Type: of, Object: marshal(l.objects[of][id]), FetchedAt: asked})
		after = id
	}
	if of == record.Organization {
		page.Next = string(record.Membership) + " "
	}
	return page, nil
}

func (l *livingOrganizations) Record(_ context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	l.next()
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := time.Now()
	object, there := l.objects[ref.Type][ref.ID]
	if !there {
		return userapi.Record{}, userapi.ErrGone
	}
	return userapi.Record{Type: ref.Type, Object: marshal(object), FetchedAt: asked}, nil
}

// putRecord makes or changes an organization or a membership, and gives the webhook that tells of it.
func (l *livingOrganizations) putRecord(of record.Type, id, value string) mirror.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	object := map[string]any{"id": id, "name": value, "slug": value, "updated_at": at.UnixMilli()}
	kind := "organization.updated"
	if of == record.Membership {
		organizationID, userID, _ := record.SplitMembershipID(id)
		kind = "organizationMembership.updated"
		object = map[string]any{
			"id": "orgmem_" + id, "role": value, "organization": map[string]any{"id": organizationID},
			"public_user_data": map[string]any{"user_id": userID}, "updated_at": at.UnixMilli(),
		}
	}
	l.objects[of][id] = object
	return l.webhook(kind, at, object)
}

// removeRecord deletes an organization or a membership; what it gives back can be restored.
func (l *livingOrganizations) removeRecord(of record.Type, id string) (was map[string]any, deletion mirror.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was = l.objects[of][id]
	delete(l.objects[of], id)
	if of == record.Membership {
		return was, l.webhook("organizationMembership.deleted", l.now(), was)
	}
	l.forget(func(organizationID, _ string) bool { return organizationID == id })
	return was, l.webhook("organization.deleted", l.now(), map[string]any{"id": id, "deleted": true})
}

// forget lets memberships end with what they belong to, of which no webhook of their own tells.
func (l *livingOrganizations) forget(ends func(organizationID, userID string) bool) {
	maps.DeleteFunc(l.objects[record.Membership], func(id string, _ map[string]any) bool {
		return ends(strings.Split(id, "/")[0], strings.Split(id, "/")[1])
	})
}

func (l *livingOrganizations) has(of record.Type, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of == record.User {
		return l.users[id] != nil
	}
	return l.objects[of][id] != nil
}

// What may happen to users, organizations and memberships beside a run.
const (
	putOne      = iota // it comes or changes, with its webhook
	removeOne          // with its webhook
	restoreOne         // a removal is taken back, of which neither webhook nor clock tell
	editOne            // its name or role changes, of which neither webhook nor clock tell
	arriveOne          // one of the webhooks under way arrives
	repeatOne          // it arrives, and will once more
	numberDeeds = iota
)

type deed struct {
	kind, n int
	of      record.Type
	id      string
	lost    bool // the webhook never arrives
}

func deeds() *rapid.Generator[deed] {
	ids := map[record.Type][]string{record.User: {"a", "b"}, record.Organization: {"x", "y"}, record.Membership: {"x/a", "x/b", "y/a", "y/b"}}
	return rapid.Custom(func(t *rapid.T) deed {
		of := rapid.SampledFrom([]record.Type{record.User, record.Organization, record.Membership, record.Membership}).Draw(t, "of")
		return deed{
			kind: rapid.IntRange(0, numberDeeds-1).Draw(t, "kind"), n: rapid.IntRange(0, 99).Draw(t, "n"), of: of,
			id: rapid.SampledFrom(ids[of]).Draw(t, "id"), lost: rapid.Bool().Draw(t, "lost"),
		}
	})
}

// saga is a story of users, organizations and memberships.
type saga struct {
	story

	organizations *livingOrganizations
	script        []deed
	was           map[record.Type]map[string]map[string]any // what was removed
}

func (s *saga) goOn(number int) {
	s.one.Lock()
	defer s.one.Unlock()
	for ; number > 0 && len(s.script) > 0; number-- {
		d := s.script[0]
		s.script = s.script[1:]
		if err := s.do(d); err != nil && s.err == nil {
			s.err = err
		}
	}
}

func (s *saga) do(d deed) error {
	l := s.organizations
	exists := l.has(d.of, d.id)
	switch d.kind {
	case putOne:
		if organizationID, userID, is := record.SplitMembershipID(d.id); is && (!l.has(record.Organization, organizationID) || !l.has(record.User, userID)) {
			return nil
		}
		if !exists && s.was[d.of][d.id] != nil && d.of != record.Membership {
			s.drifts = true // in the mirror its memberships come back with it
		}
		value := fmt.Sprint("n", d.n)
		if d.of == record.User {
			s.send(l.put(d.id, value), d.lost)
		} else {
			s.send(l.putRecord(d.of, d.id, value), d.lost)
		}
	case removeOne:
		if !exists {
			return nil
		}
		var deletion mirror.Event
		if d.of == record.User {
			s.was[d.of][d.id], deletion = l.remove(d.id)
			l.mu.Lock()
			l.forget(func(_, userID string) bool { return userID == d.id })
			l.mu.Unlock()
		} else {
			s.was[d.of][d.id], deletion = l.removeRecord(d.of, d.id)
		}
		s.send(deletion, d.lost)
	case restoreOne:
		if was := s.was[d.of][d.id]; was != nil && !exists && d.of == record.Organization {
			s.drifts = true
			l.mu.Lock()
			l.objects[d.of][d.id] = was
			l.mu.Unlock()
		}
	case editOne:
		if exists && d.of != record.User {
			s.drifts = true
			l.mu.Lock()
			changed := maps.Clone(l.objects[d.of][d.id])
			changed[map[record.Type]string{record.Organization: "name", record.Membership: "role"}[d.of]] = fmt.Sprint("quiet ", d.n)
			l.objects[d.of][d.id] = changed
			l.mu.Unlock()
		}
	case arriveOne, repeatOne:
		if len(s.underway) == 0 {
			return nil
		}
		i := d.n % len(s.underway)
		if d.kind == repeatOne {
			s.underway = append(s.underway, s.underway[i])
		}
		return s.deliver(i)
	}
	return nil
}

// truth is what the account has: users and organizations by name, memberships by role.
func (l *livingOrganizations) truth() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]string{}
	for id, user := range l.users {
		all["user "+id] = fmt.Sprint(user["first_name"])
	}
	for of, key := range map[record.Type]string{record.Organization: "name", record.Membership: "role"} {
		for id, object := range l.objects[of] {
			all[string(of)+" "+id] = fmt.Sprint(object[key])
		}
	}
	return all
}

// mirroredRecords is what the mirror has, in the same form.
func (b *testBundle) mirroredRecords(t require.TestingT) map[string]string {
	rows, err := b.project.Query(context.Background(), `
		SELECT 'user ' || id, first_name FROM capydb_auth.active_users
		UNION ALL SELECT 'organization ' || id, name FROM capydb_auth.active_organizations
		UNION ALL SELECT 'membership ' || capydb_auth.membership_id(organization_id, user_id), role FROM capydb_auth.active_memberships`)
	require.NoError(t, err)
	all := map[string]string{}
	var id, is string
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error { all[id] = is; return nil })
	require.NoError(t, err)
	return all
}

// TestRunsAndWebhooksOfRecordsInterleavedEndInTheProvidersState does with users, organizations and
// memberships what TestRunsAndWebhooksInterleavedEndInTheProvidersState does with users: webhooks come
// late, in any order, twice or never, between any two answers to backfills and reconciles. One more
// reconcile, after all of them, ends in the provider's state; it is not needed if nothing was lost, so
// that no run has overwritten what was newer.
func TestRunsAndWebhooksOfRecordsInterleavedEndInTheProvidersState(t *testing.T) {
	t.Parallel()
	b := setup(t, 0, 0)
	accounts := &current{}
	b.accounts, b.store = accounts, syncrun.NewStore(b.control, accounts)
	b.work(t, b.mirrors, 0)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := b.project.Exec(context.Background(), `
			TRUNCATE capydb_auth.users, capydb_auth.organizations, capydb_auth.memberships, capydb_auth.processed_events, capydb_auth.changes`)
		require.NoError(rt, err)
		l := newLivingOrganizations()
		s := &saga{
			story: story{testBundle: b, living: l.living}, organizations: l, script: rapid.SliceOfN(deeds(), 1, 40).Draw(rt, "script"),
			was: map[record.Type]map[string]map[string]any{record.User: {}, record.Organization: {}, record.Membership: {}},
		}
		accounts.set(l)
		s.send(l.put("anchor", "Anchor"), false) // an empty list of users deletes nobody
		s.goOn(rapid.IntRange(0, 15).Draw(rt, "before"))
		each := rapid.IntRange(0, 3).Draw(rt, "between two answers")
		l.step = func(int) { s.goOn(each) }
		for _, kind := range rapid.SliceOfN(rapid.SampledFrom([]string{provider.KindBackfill, provider.KindReconcile}), 1, 2).Draw(rt, "runs") {
			s.run(rt, kind)
		}
		l.step = nil
		s.goOn(len(s.script))
		for len(s.underway) > 0 {
			require.NoError(rt, s.deliver(rapid.IntRange(0, len(s.underway)-1).Draw(rt, "arrives")))
		}
		require.NoError(rt, s.err)
		if s.drifts {
			s.run(rt, provider.KindReconcile)
			require.Zero(rt, s.run(rt, provider.KindReconcile).Drift.Found(), "it has nothing left to do")
		}
		require.Equal(rt, l.truth(), b.mirroredRecords(rt))
	})
}
