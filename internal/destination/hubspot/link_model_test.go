package hubspot_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

const (
	modelUsers = 3
	modelOrgs  = 3
)

// change is a change of a record that waits to be delivered.
type change struct {
	ref           record.Ref
	before, after row
}

// club is a mirror of users, organizations and memberships with what is not delivered yet, by order key as deliveries keep it.
type club struct {
	portal  *hubspottest.HubSpot
	workers []destination.Destination
	// own are the records without what their deletion takes with it, shown are those of the mirror.
	own, shown map[record.Ref]row
	waits      map[string][]change
	attempts   map[record.Ref]int
	links      map[record.Ref]string
	// touched says that a person has removed something in HubSpot.
	touched bool
}

func userRef(i int) record.Ref { return record.Ref{Type: record.User, ID: fmt.Sprintf("user_%d", i)} }

func orgRef(i int) record.Ref {
	return record.Ref{Type: record.Organization, ID: fmt.Sprintf("org_%d", i)}
}

func memberRef(o, u int) record.Ref {
	return record.Ref{Type: record.Membership, ID: record.MembershipID(orgRef(o).ID, userRef(u).ID)}
}

func newClub(tb testing.TB, rt *rapid.T, options string) *club {
	tb.Helper()
	config, clock := unlimited(), userapitest.NewClock()
	config.Now, config.SearchLag = clock.Now, time.Minute
	config.Faults = hubspottest.Faults{Seed: rapid.Uint64().Draw(rt, "seed"), Before: 0.1, After: 0.1, Cut: 0.1}
	c := &club{
		portal: hubspottest.New(config), own: map[record.Ref]row{}, shown: map[record.Ref]row{}, waits: map[string][]change{},
		attempts: map[record.Ref]int{}, links: map[record.Ref]string{},
	}
	for range 2 {
		c.workers = append(c.workers, open(tb, "http://portal.example", options, destination.Deps{
			Client: &http.Client{Transport: direct{c.portal}}, Now: clock.Now,
		}))
	}
	return c
}

// happen lets a record appear, go, come back or change its name.
func (c *club) happen(rt *rapid.T) {
	o, u := rapid.IntRange(0, modelOrgs-1).Draw(rt, "organization"), rapid.IntRange(0, modelUsers-1).Draw(rt, "user")
	ref := rapid.SampledFrom([]record.Ref{userRef(u), orgRef(o), memberRef(o, u)}).Draw(rt, "record")
	next := c.own[ref]
	if next == nil {
		next = row{"id": ref.ID, "email": ref.ID + "@example.com", "organization_id": orgRef(o).ID, "user_id": userRef(u).ID}
	} else if rapid.Bool().Draw(rt, "goes or comes back") {
		next = next.with("deleted_at", map[bool]any{true: "2026-05-04T00:00:00Z", false: nil}[next["deleted_at"] == nil])
	}
	c.own[ref] = next.with("name", rapid.SampledFrom([]string{"A", "B"}).Draw(rt, "name"))
	c.show(ref)
	for o := range modelOrgs {
		for u := range modelUsers {
			if ref == userRef(u) || ref == orgRef(o) {
				c.show(memberRef(o, u))
			}
		}
	}
}

// show notes how the mirror shows a record now: a membership is deleted with its user and with its organization.
func (c *club) show(ref record.Ref) {
	next := c.own[ref]
	if next == nil {
		return
	}
	if ref.Type == record.Membership {
		org, user, _ := record.SplitMembershipID(ref.ID)
		for _, parent := range []record.Ref{{Type: record.Organization, ID: org}, {Type: record.User, ID: user}} {
			if c.own[parent]["deleted_at"] != nil {
				next = next.with("deleted_at", "2026-05-04T00:00:00Z")
			}
		}
	}
	before := c.shown[ref]
	if before != nil && fmt.Sprint(before) == fmt.Sprint(next) {
		return
	}
	c.shown[ref] = next
	c.wait(change{ref, before, next})
}

func (c *club) wait(to change) {
	key := string(to.ref.Type) + ":" + to.ref.ID
	if to.ref.Type == record.Membership {
		key = fmt.Sprint("user:", to.after["user_id"])
	}
	c.waits[key] = append(c.waits[key], to)
}

// touch lets a person remove a contact or a company in HubSpot.
func (c *club) touch(rt *rapid.T) {
	c.touched = true
	if all := c.portal.Companies(); len(all) > 0 && rapid.Bool().Draw(rt, "company") {
		c.portal.RemoveCompany(rapid.SampledFrom(all).Draw(rt, "removed").ID)
	}
	if all := c.portal.Contacts(); len(all) > 0 && rapid.Bool().Draw(rt, "contact") {
		c.portal.Remove(rapid.SampledFrom(all).Draw(rt, "removed").ID)
	}
}

// replay has every record delivered again.
func (c *club) replay(rt *rapid.T) {
	refs := slices.SortedFunc(maps.Keys(c.shown), func(a, b record.Ref) int { return strings.Compare(a.ID+string(a.Type), b.ID+string(b.Type)) })
	for _, ref := range rapid.Permutation(refs).Draw(rt, "replayed") {
		c.attempts[ref] = 1
		c.wait(change{ref, c.shown[ref], c.shown[ref]})
	}
}

// next is the message for what comes first with an order key, and how many changes it unites.
func (c *club) next(tb testing.TB, key string) (m destination.Message, united int) {
	tb.Helper()
	changes := c.waits[key]
	first := changes[0]
	for united < len(changes) && changes[united].ref == first.ref {
		united++
	}
	m = about(tb, first.ref.Type, first.ref.ID, first.before, changes[united-1].after)
	c.attempts[first.ref]++
	m.Attempt, m.ExternalID = c.attempts[first.ref], c.links[first.ref]
	switch first.ref.Type {
	case record.Membership:
		org, _, _ := record.SplitMembershipID(first.ref.ID)
		if of := c.shown[record.Ref{Type: record.Organization, ID: org}]; of != nil {
			m.Organization = of.json(tb)
		}
	case record.User:
		for ref, shown := range c.shown {
			if ref.Type == record.Membership && shown["user_id"] == first.ref.ID && (shown["deleted_at"] == nil || c.shown[first.ref]["deleted_at"] != nil) {
				m.OrganizationIDs = append(m.OrganizationIDs, fmt.Sprint(shown["organization_id"]))
			}
		}
	default:
	}
	return m, united
}

// deliver lets a worker send what comes first with some order keys. It may die before it records the results.
func (c *club) deliver(tb testing.TB, rt *rapid.T, draws bool) {
	tb.Helper()
	var keys []string
	var counts []int
	var messages []destination.Message
	for key, changes := range c.waits {
		if len(changes) > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if draws {
		keys = slices.DeleteFunc(keys, func(string) bool { return rapid.IntRange(0, 2).Draw(rt, "later") == 0 })
	}
	for _, key := range keys {
		m, united := c.next(tb, key)
		messages, counts = append(messages, m), append(counts, united)
	}
	worker := 0
	if draws {
		worker = rapid.IntRange(0, 1).Draw(rt, "worker")
	}
	results := c.workers[worker].Send(tb.Context(), messages)
	if draws && rapid.IntRange(0, 4).Draw(rt, "dies") == 0 {
		return
	}
	for i, r := range results {
		ref := record.Ref{Type: messages[i].RecordType, ID: messages[i].RecordID}
		if r.ExternalID != nil {
			c.links[ref] = *r.ExternalID
		}
		switch r.Outcome {
		case destination.Delivered:
			c.waits[keys[i]], c.attempts[ref] = c.waits[keys[i]][counts[i]:], 0
		case destination.Retry, destination.Deferred:
		default:
			rt.Fatalf("%s: outcome %d: %s", messages[i].ID, r.Outcome, r.Reason)
		}
	}
}

// settle delivers until nothing waits, without faults.
func (c *club) settle(tb testing.TB, rt *rapid.T) {
	tb.Helper()
	c.portal.Heal()
	for range 100 {
		c.deliver(tb, rt, false)
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.waits)), func(waiting []change) bool { return len(waiting) > 0 }) {
			return
		}
	}
	rt.Fatal("something waits for ever")
}

// check compares companies and associations with the mirror.
func (c *club) check(rt *rapid.T) {
	require.Empty(rt, c.portal.Violations())
	want, have := []string{}, []string{}
	for ref, shown := range c.shown {
		if ref.Type == record.Organization && shown["deleted_at"] == nil {
			want = append(want, fmt.Sprint(ref.ID, " ", shown["name"]))
		}
	}
	for _, o := range c.portal.Companies() {
		if name := o.Properties["name"]; name != o.Properties[companyProperty] { // else its organization is yet to come
			have = append(have, o.Properties[companyProperty]+" "+name)
		}
	}
	require.ElementsMatch(rt, want, have, "companies")
	want, have = nil, nil
	for ref, shown := range c.shown {
		user := c.shown[record.Ref{Type: record.User, ID: fmt.Sprint(shown["user_id"])}]
		if ref.Type == record.Membership && shown["deleted_at"] == nil && user != nil {
			want = append(want, ref.ID)
		}
	}
	for _, a := range c.portal.Associations() {
		have = append(have, record.MembershipID(c.portal.Company(a.Company)[companyProperty], c.portal.Contact(a.Contact)[idProperty]))
	}
	require.ElementsMatch(rt, want, have, "associations")
}

// Whatever organizations, users and memberships did and in which order the mirror learned of it, whatever failed and whichever
// worker died when: in the end the members are associated with the companies of their organizations, and nobody else is. What a
// person has removed is there again after a replay.
func TestAssociationsFollowAnyHistoryThroughFaultsAndCrashes(t *testing.T) {
	t.Parallel()
	const archives = `, "companies": {"id_property": "` + companyProperty + `", "on_delete": "archive"}}`
	for name, options := range map[string]string{
		"Release": withCompanies(`"on_delete": "archive"`),
		"Nothing": `{"id_property": "` + idProperty + `"` + archives,
		"Flag":    `{"id_property": "` + idProperty + `", "on_delete": {"set": {"user_status": "deleted"}}, "on_restore": {"set": {"user_status": ""}}` + archives,
		"Archive": `{"id_property": "` + idProperty + `", "on_delete": "archive"` + archives,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				c := newClub(t, rt, options)
				for range rapid.IntRange(1, 40).Draw(rt, "steps") {
					switch step := rapid.IntRange(0, 20).Draw(rt, "step"); {
					case step < 10:
						c.deliver(t, rt, true)
					case step < 20:
						c.happen(rt)
					default:
						c.touch(rt)
					}
				}
				c.settle(t, rt)
				if c.touched {
					c.replay(rt)
					c.settle(t, rt)
				}
				c.check(rt)
			})
		})
	}
}
