package crashtest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

const (
	people = 25
	// crmRounds is how often some users change and a server may be killed; shortRounds with -short.
	crmRounds = 40
	// crmLimit is how many requests the portal takes in any ten seconds.
	crmLimit = 15
	crmDaily = 2000
	userID   = "authsync_user_id"
)

// Whatever users did, whatever the portal answered and whichever of two servers died, in the
// end each user is one contact, as the mirror has the user; and no limit was exceeded.
func TestContactsFollowUsersThroughFaultsAndCrashes(t *testing.T) {
	t.Parallel()
	seed := chooseSeed(t)
	random := rand.New(rand.NewPCG(seed, 1))
	database := startDatabase(t)
	b := prepare(t, database)
	servers := b.startTwo(t)
	portal := hubspottest.New(hubspottest.Config{
		Properties: map[string]hubspottest.Property{userID: {Unique: true}, "user_status": {}},
		Limits:     hubspottest.Limits{Window: crmLimit, Daily: crmDaily, RetryAfter: true},
		Delay:      20 * time.Millisecond, SearchLag: time.Minute,
		Faults: hubspottest.Faults{Seed: seed, Before: 0.04, After: 0.06, Cut: 0.06},
	})
	b.add(t, map[string]any{
		"name": "crm", "type": "hubspot", "since": "beginning", "secrets": map[string]string{"access_token": hubspottest.Token},
		"options": map[string]any{
			"base_url": portal.Start(t), "id_property": userID, "requests_per_10s": crmLimit, "requests_per_day": crmDaily,
			"on_delete":  map[string]any{"set": map[string]string{"user_status": "deleted"}},
			"on_restore": map[string]any{"set": map[string]string{"user_status": "active"}},
		},
	})
	c := newCrowd(b, servers)
	known := portal.Add(map[string]string{"email": address(0, 0), "phone": "typed by hand"})

	what := fmt.Sprintf("seed %d", seed)
	count := crmRounds
	if testing.Short() {
		count = shortRounds
	}
	for round := 1; round <= count; round++ {
		if round%10 == 0 {
			portal.Fail(
				hubspottest.Fault{
					Kind: hubspottest.FaultBefore, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}},
					Body: `{"status":"error","message":"You have reached your ten secondly limit.","policyName":"TEN_SECONDLY_ROLLING"}`,
				},
				hubspottest.Fault{Kind: hubspottest.FaultAfter})
		}
		c.live(t, random, 6)
		wait(t, time.Duration(random.IntN(500))*time.Millisecond)
		switch victim := random.IntN(24); victim {
		case 0, 1: // the other one goes on
			servers[victim].kill(t)
			servers[victim].start(t)
			t.Logf("round %d: killed server %d after %d requests", round, victim, len(portal.Calls()))
		case 2, 3, 4, 5, 6:
			for _, s := range servers {
				s.kill(t)
			}
			for _, s := range servers {
				s.start(t)
			}
			t.Logf("round %d: killed both servers after %d requests", round, len(portal.Calls()))
		}
	}
	portal.Heal()
	b.act(t, "crm", "resume") // as a person does who sees that the portal is well again
	b.requireHealed(t, what)
	c.requireContacts(t, portal, what)
	require.Equal(t, "typed by hand", portal.Contact(known)["phone"], what)
	require.Empty(t, portal.Violations(), what)
	repeated := rowsOf[struct{ N int }](t, b.control, `SELECT count(*) FROM authsync.deliveries WHERE state = 'coalesced'`)
	t.Logf("%d contacts, %d requests, %d changes united with others", len(portal.Contacts()), len(portal.Calls()), repeated[0].N)
}

// crowd is users who live: they are made, get other names and addresses, and often their old
// ones back; they are deleted, and return.
type crowd struct {
	*bundle
	doors   []*load // the servers that take events
	events  int
	present map[string]provider.Sample // by user: the newest event
}

func newCrowd(b *bundle, servers []*server) *crowd {
	c := &crowd{bundle: b, present: map[string]provider.Sample{}}
	for _, s := range servers {
		c.doors = append(c.doors, newLoad(s, b.load.projectID, b.load.credentials))
	}
	return c
}

func address(user, n int) string { return fmt.Sprintf("user%d+%d@example.com", user, n) }

// live lets so many events happen, each taken by one of the servers.
func (c *crowd) live(t *testing.T, random *rand.Rand, events int) {
	t.Helper()
	for range events {
		c.events++
		i, n := random.IntN(people), random.IntN(3)
		if i == 0 {
			n = 0 // the contact that is there already is this user's from the beginning
		}
		sample := provider.Sample{
			Type: "user.updated", ID: fmt.Sprintf("evt_%06d", c.events), UserID: fmt.Sprintf("auth0|%d", i),
			At: c.doors[0].epoch.Add(time.Duration(c.events) * time.Second),
			Set: map[string]any{
				"email": address(i, n), "given_name": []string{"Ann", "Bo"}[random.IntN(2)], "family_name": "Doe",
			},
		}
		if _, there := c.present[sample.UserID]; there && random.IntN(6) == 0 {
			sample.Type = "user.deleted"
		}
		door := c.doors[random.IntN(len(c.doors))]
		for {
			err := door.send(t.Context(), provider.Auth0, sample)
			if err == nil {
				break
			}
			require.Contains(t, []int{0, http.StatusServiceUnavailable}, client.Status(err), "%s", err)
			wait(t, 20*time.Millisecond)
		}
		c.present[sample.UserID] = sample
	}
}

// requireContacts compares the contacts with the users of the mirror, and these with
// what happened.
func (c *crowd) requireContacts(t *testing.T, portal *hubspottest.HubSpot, what string) {
	t.Helper()
	own := map[string]map[string]string{}
	for _, contact := range portal.Contacts() {
		user, _, _ := strings.Cut(contact.Properties["email"], "+")
		require.NotContains(t, own, user, "%s: a duplicate contact", what)
		own[user] = contact.Properties
	}
	rows := rowsOf[struct {
		ID, Email, First, Last string
		IsDeleted              bool
	}](t, c.project, `SELECT id, email, first_name, last_name, deleted_at IS NOT NULL FROM capydb_auth.users`)
	require.Len(t, rows, len(c.present), what)
	for _, row := range rows {
		have := own["user"+strings.TrimPrefix(row.ID, "auth0|")]
		newest := c.present[row.ID]
		require.Equal(t, newest.Type == "user.deleted", row.IsDeleted, "%s: %s", what, row.ID)
		if row.IsDeleted {
			if have != nil { // none is made for one who was deleted before anybody was told
				require.Equal(t, "deleted", have["user_status"], "%s: %s", what, row.ID)
			}
			continue
		}
		require.Equal(t, newest.Set["email"], row.Email, "%s: %s", what, row.ID)
		require.NotEqual(t, "deleted", have["user_status"], "%s: %s", what, row.ID)
		require.Equal(t,
			map[string]string{"email": row.Email, "firstname": row.First, "lastname": row.Last, userID: row.ID},
			map[string]string{"email": have["email"], "firstname": have["firstname"], "lastname": have["lastname"], userID: have[userID]},
			"%s: %s", what, row.ID)
	}
}
