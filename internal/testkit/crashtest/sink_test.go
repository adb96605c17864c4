package crashtest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
)

// sink is the system that must follow: a webhook receiver that no crash touches. One request in
// odds fails, but none of a message that failed mostFailures times: the pauses grow, and would be
// longer than what is measured here.
type sink struct {
	odds     int64
	server   *httptest.Server
	requests atomic.Int64
	failed   atomic.Int64

	mu       sync.Mutex
	arrived  map[int64]string // by change: the message's id
	times    map[string]int   // by message: how often it arrived
	newest   map[string]int64 // by user: the newest change that arrived for the first time
	failures map[string]int   // by message
	faults   []string
	repeated int
}

const mostFailures = 2

func newSink(t *testing.T, odds int64) *sink {
	t.Helper()
	s := &sink{
		odds: odds, arrived: map[int64]string{}, times: map[string]int{}, newest: map[string]int64{}, failures: map[string]int{},
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	return s
}

func (s *sink) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	id := r.Header.Get("webhook-id")
	if err != nil || s.requests.Add(1)%s.odds == 0 && s.mayFail(id) { // killed while it sent, or unlucky
		s.failed.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.take(id, body)
}

func (s *sink) mayFail(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[id]++
	return s.failures[id] <= mostFailures
}

func (s *sink) take(id string, body []byte) {
	var told struct {
		Data struct {
			ChangeID int64 `json:"change_id"`
			User     struct {
				ID string `json:"id"`
			} `json:"user"`
		} `json:"data"`
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := json.Unmarshal(body, &told); err != nil || told.Data.ChangeID == 0 {
		s.faults = append(s.faults, "a message that cannot be read: "+string(body))
		return
	}
	change, user := told.Data.ChangeID, told.Data.User.ID
	s.times[id]++
	if other, ok := s.arrived[change]; ok {
		s.repeated++
		if other != id {
			s.faults = append(s.faults, "a change came under two ids: "+id+" and "+other)
		}
		return
	}
	s.arrived[change] = id
	if change < s.newest[user] {
		s.faults = append(s.faults, "a change of "+user+" came after a later one: "+id)
	}
	s.newest[user] = change
}

// api calls the API of the server with all rights.
func (b *bundle) api(t *testing.T) *client.Client {
	t.Helper()
	_, key, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "crash"})
	require.NoError(t, err)
	url, _ := b.server.url.Load().(string)
	api := client.New(url, config.Secret(key))
	t.Cleanup(api.Close)
	return api
}

// add adds a destination to the project.
func (b *bundle) add(t *testing.T, destination map[string]any) {
	t.Helper()
	_, err := b.api(t).AddDestination(t.Context(), b.load.projectID, destination)
	require.NoError(t, err)
}

func (b *bundle) act(t *testing.T, destination, action string) {
	t.Helper()
	_, err := b.api(t).ActOn(t.Context(), b.load.projectID, destination, action, nil)
	require.NoError(t, err)
}

// follow makes the sink a destination that wants every change.
func (b *bundle) follow(t *testing.T, s *sink) {
	t.Helper()
	b.add(t, map[string]any{
		"name": "all", "type": "webhook", "options": map[string]any{"url": s.server.URL}, "since": "beginning",
	})
}

// followSome makes the sink a destination that wants new addresses of some users.
func (b *bundle) followSome(t *testing.T, s *sink) {
	t.Helper()
	b.add(t, map[string]any{
		"name": "some", "type": "webhook", "options": map[string]any{"url": s.server.URL}, "since": "beginning",
		"event_types": []string{"user.updated"}, "fields": []string{"email"}, "condition": `.user.id | endswith("7")`,
	})
}

const (
	allChanges  = `SELECT id FROM capydb_auth.user_changes`
	someChanges = `SELECT id FROM capydb_auth.user_changes WHERE kind = 'updated' AND 'email' = ANY (changed) AND user_id LIKE '%7'`
)

// requireFollowed compares the sink with the feed: every change that it wants arrived, no other,
// none under two ids, and those of a user in order.
func (b *bundle) requireFollowed(t *testing.T, s *sink, wanted, what string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.faults, what)
	var lost []int64
	changes := rowsOf[struct{ ID int64 }](t, b.project, wanted)
	for _, c := range changes {
		if _, ok := s.arrived[c.ID]; !ok {
			lost = append(lost, c.ID)
		}
	}
	require.Empty(t, lost, "%s: changes that never arrived", what)
	require.NotEmpty(t, changes, what)
	require.Len(t, s.arrived, len(changes), what)
	require.Positive(t, s.failed.Load(), "%s: nothing failed, so nothing was tested", what)
	t.Logf("%d changes arrived at the destination, %d attempts failed, %d messages came again with the same id",
		len(changes), s.failed.Load(), s.repeated)
}
