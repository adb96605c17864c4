package hubspot_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// direct hands requests to a portal without a network between.
type direct struct{ portal http.Handler }

func (d direct) RoundTrip(r *http.Request) (response *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	defer func() {
		switch recover() {
		case nil:
		case http.ErrAbortHandler:
			response, err = recorder.Result(), nil
			response.Body = io.NopCloser(io.MultiReader(recorder.Body, cutOff{}))
		default:
			panic("the portal failed")
		}
	}()
	d.portal.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// person is a user with what is not delivered yet, as deliveries keep it.
type person struct {
	row      *user // nil: not there yet
	before   *user // before the earliest change that waits
	waits    bool
	attempts int
	link     string
	past     map[string]map[string]bool // property → values that it has had
}

func (p *person) change(to *user) {
	if !p.waits {
		p.before, p.waits, p.attempts = p.row, true, 0
	}
	p.row = to
	for property, value := range p.mapped() {
		if p.past[property] == nil {
			p.past[property] = map[string]bool{}
		}
		p.past[property][value] = true
	}
}

func (p *person) mapped() map[string]string {
	return map[string]string{"email": strings.ToLower(p.row.Email), "firstname": p.row.First, "lastname": p.row.Last}
}

// message unites what waits. The attempt is counted before it is made; one that the portal
// does not take now is not counted, but those before it are.
func (p *person) message(tb testing.TB) destination.Message {
	tb.Helper()
	p.attempts++
	m := message(tb, p.before, p.row)
	m.Attempt, m.ExternalID = p.attempts, p.link
	return m
}

func (p *person) record(rt *rapid.T, r destination.Result) {
	if r.ExternalID != nil {
		p.link = *r.ExternalID
	}
	switch r.Outcome {
	case destination.Delivered:
		p.waits = false
	case destination.Retry:
	case destination.Deferred:
		p.attempts--
	default:
		rt.Fatalf("outcome %d: %s", r.Outcome, r.Reason)
	}
}

// world is a portal, two workers, and users with a history.
type world struct {
	portal  *hubspottest.HubSpot
	clock   *userapitest.Clock
	workers []destination.Destination
	people  []*person
}

// variant is a configuration that the model holds for.
type variant struct {
	options string
	// moves: users may get another address at any time. Without a unique property, or when it
	// was emptied, nothing but the address tells whose contact it is.
	moves bool
	// archives: the contacts of deleted users go.
	archives bool
}

func newWorld(tb testing.TB, rt *rapid.T, v variant) *world {
	tb.Helper()
	w := &world{clock: userapitest.NewClock()}
	config := unlimited()
	config.Now = w.clock.Now
	config.Limits = hubspottest.Limits{Window: rapid.IntRange(8, 30).Draw(rt, "window"), RetryAfter: rapid.Bool().Draw(rt, "retry after")}
	config.SearchLag = time.Minute
	config.Faults = hubspottest.Faults{Seed: rapid.Uint64().Draw(rt, "seed"), Before: 0.1, After: 0.1, Cut: 0.1}
	w.portal = hubspottest.New(config)
	p := &pacer{clock: w.clock, long: time.Second, limit: destination.Limit{Requests: config.Limits.Window, Per: 10 * time.Second}}
	for range 2 {
		w.workers = append(w.workers, open(tb, "http://portal.example", v.options, destination.Deps{
			Client: &http.Client{Transport: direct{w.portal}}, Limiter: p, Now: w.clock.Now,
		}))
	}
	for i := range rapid.IntRange(1, 6).Draw(rt, "users") {
		w.people = append(w.people, &person{past: map[string]map[string]bool{}})
		if rapid.IntRange(0, 3).Draw(rt, "known") == 0 {
			contact := map[string]string{"email": address(i, 0), "phone": "typed by hand"}
			if v.moves {
				contact[idProperty] = fmt.Sprintf("user_%d", i)
			}
			w.portal.Add(contact)
		}
	}
	return w
}

func address(i, n int) string { return fmt.Sprintf("user%d+%d@example.com", i, n) }

// happen lets something happen to a user.
func (w *world) happen(rt *rapid.T, v variant) {
	i := rapid.IntRange(0, len(w.people)-1).Draw(rt, "who")
	p := w.people[i]
	next := &user{ID: fmt.Sprintf("user_%d", i), Email: address(i, 0)}
	if p.row != nil {
		next = p.row.with(func(*user) {})
		if rapid.IntRange(0, 3).Draw(rt, "dies or comes back") == 0 {
			next.DeletedAt = map[bool]string{true: "2026-05-04T00:00:00Z", false: ""}[next.DeletedAt == ""]
		}
	}
	names := rapid.SampledFrom([]string{"", "A", "B", "C"})
	next.First, next.Last = names.Draw(rt, "first"), names.Draw(rt, "last")
	if v.moves {
		next.Email = address(i, rapid.IntRange(0, 2).Draw(rt, "address"))
		if rapid.Bool().Draw(rt, "capitals") {
			next.Email = strings.ToUpper(next.Email)
		}
	}
	p.change(next)
}

// deliver lets a worker send what waits for some users. It may die before it records the
// results, and another may have sent the same.
func (w *world) deliver(tb testing.TB, rt *rapid.T) {
	tb.Helper()
	var some []*person
	for _, p := range w.people {
		if p.waits && rapid.IntRange(0, 3).Draw(rt, "now") > 0 {
			some = append(some, p)
		}
	}
	worker := rapid.IntRange(0, 1).Draw(rt, "worker")
	results := w.send(tb, worker, some)
	if rapid.IntRange(0, 4).Draw(rt, "twice") == 0 {
		results = w.send(tb, 1-worker, some)
	}
	if rapid.IntRange(0, 4).Draw(rt, "dies") > 0 {
		w.record(rt, some, results)
	}
}

func (w *world) send(tb testing.TB, worker int, some []*person) []destination.Result {
	tb.Helper()
	var messages []destination.Message
	for _, p := range some {
		messages = append(messages, p.message(tb))
	}
	return w.workers[worker].Send(tb.Context(), messages)
}

func (w *world) record(rt *rapid.T, some []*person, results []destination.Result) {
	for i, r := range results {
		some[i].record(rt, r)
		w.clock.Advance(r.After)
	}
}

// settle delivers until nothing waits, without faults.
func (w *world) settle(tb testing.TB, rt *rapid.T) {
	tb.Helper()
	w.portal.Heal()
	for range 100 {
		some := slices.DeleteFunc(slices.Clone(w.people), func(p *person) bool { return !p.waits })
		if len(some) == 0 {
			return
		}
		w.record(rt, some, w.send(tb, 0, some))
	}
	rt.Fatal("something waits for ever")
}

// check compares the contacts with the users.
func (w *world) check(rt *rapid.T, v variant) {
	require.Empty(rt, w.portal.Violations())
	contacts := w.portal.Contacts()
	for i, p := range w.people {
		own := slices.DeleteFunc(slices.Clone(contacts), func(c hubspottest.Object) bool {
			return !strings.HasPrefix(c.Properties["email"], fmt.Sprintf("user%d+", i))
		})
		require.LessOrEqual(rt, len(own), 1, "a duplicate contact: %v", own)
		switch {
		case p.row == nil:
		case p.row.DeletedAt == "":
			require.Len(rt, own, 1)
			p.requireAlive(rt, own[0].Properties)
		case v.archives:
			require.Empty(rt, own)
		case len(own) == 1:
			require.Equal(rt, "deleted", own[0].Properties["user_status"])
		}
	}
}

func (p *person) requireAlive(rt *rapid.T, have map[string]string) {
	require.NotEqual(rt, "deleted", have["user_status"])
	for property, value := range p.mapped() {
		if value != "" {
			require.Equal(rt, value, have[property], property)
			continue
		}
		if kept := have[property]; kept != "" {
			require.True(rt, p.past[property][kept], "%s is %q, which it never was", property, kept)
		}
	}
}

func TestContactsFollowAnyHistoryThroughFaultsAndCrashes(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]variant{
		"Flag": {moves: true, options: `{"id_property": "authsync_user_id",
			"on_delete": {"set": {"user_status": "deleted"}}, "on_restore": {"set": {"user_status": "active"}}}`},
		"Release": {options: `{"id_property": "authsync_user_id",
			"on_delete": {"set": {"user_status": "deleted", "authsync_user_id": ""}}, "on_restore": {"set": {"user_status": ""}}}`},
		"Archive":   {moves: true, archives: true, options: `{"id_property": "authsync_user_id", "on_delete": "archive"}`},
		"ByAddress": {options: `{"on_delete": {"set": {"user_status": "deleted"}}, "on_restore": {"set": {"user_status": "active"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				w := newWorld(t, rt, v)
				for range rapid.IntRange(1, 40).Draw(rt, "steps") {
					if rapid.Bool().Draw(rt, "happens") {
						w.happen(rt, v)
					} else {
						w.deliver(t, rt)
					}
				}
				w.settle(t, rt)
				w.check(rt, v)
			})
		})
	}
}

// Two runs may send the same at the same time: when one is taken for dead, and is not.
func TestRunsAtTheSameTimeMakeNoDuplicate(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"ByProperty": withID, "ByAddress": `{}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options)
			users := newUsers(30)
			for i := range users {
				users[i].Raw = map[string]any{"hubspot": 7} // so that some are looked for alone
			}
			byPath := open(t, b.portal.Start(t), strings.Replace(options, "{", `{"missing": "create"`+map[bool]string{true: "", false: ","}[options == "{}"], 1), destination.Deps{})
			alone := open(t, b.portal.Start(t), strings.Replace(options, "{", `{"id_path": "raw.hubspot"`+map[bool]string{true: "", false: ","}[options == "{}"], 1), destination.Deps{})
			messages := created(t, users)
			links := make([]map[string]string, 4)
			var wait sync.WaitGroup
			for run, d := range []destination.Destination{b.destination, byPath, alone, alone} {
				links[run] = map[string]string{}
				wait.Go(func() {
					for again := slices.Clone(messages); len(again) > 0; {
						results := d.Send(t.Context(), again)
						var left []destination.Message
						for i, r := range results {
							if r.Outcome == destination.Retry && again[i].Attempt < 10 {
								again[i].Attempt++
								left = append(left, again[i])
								continue
							}
							if r.ExternalID != nil {
								links[run][again[i].RecordID] = *r.ExternalID
							}
						}
						again = left
					}
				})
			}
			wait.Wait()
			require.Len(t, b.contacts(), len(users))
			for _, each := range links[1:] {
				require.Len(t, each, len(users))
				require.True(t, maps.Equal(links[0], each))
			}
		})
	}
}
