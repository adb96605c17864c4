package http_test

import (
	"encoding/json"
	"maps"
	nethttp "net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

type row = destinationtest.Row

// example is the destination of an example of the documentation, at a fake of the other side.
func example(t *testing.T, name string, fake nethttp.Handler) destination.Destination {
	t.Helper()
	text, err := os.ReadFile("../../../docs/destinations/examples/" + name)
	require.NoError(t, err)
	url := serve(t, fake)
	for _, host := range []string{"https://billing.example.com", "https://marketing.example.com"} {
		text = []byte(strings.ReplaceAll(string(text), host, url))
	}
	return open(t, destination.Config{
		ID: destinationtest.DestinationID(), ProjectID: destinationtest.ProjectID(), Options: text,
		Secrets: destination.Secrets{Values: map[string]string{"api_key": token}},
	})
}

// billing is a billing system: it has customers, and cancels each once however often it is told.
type billing struct {
	mu        sync.Mutex
	customers map[string]string // state by id
	told      map[string]bool   // by idempotency key
	cancelled int
	reviewed  int
}

func (b *billing) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var body struct {
		Reason string `json:"reason"`
		Email  string `json:"email"`
		At     string `json:"at"`
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	err := json.NewDecoder(r.Body).Decode(&body)
	switch key := r.Header.Get("Idempotency-Key"); {
	case r.Header.Get("Authorization") != "Bearer "+token:
		w.WriteHeader(nethttp.StatusUnauthorized)
	case err != nil || len(parts) != 4 || r.Method != nethttp.MethodPost || body.Reason == "" || body.Email == "" || body.At == "" || key == "":
		w.WriteHeader(nethttp.StatusBadRequest)
	case b.customers[parts[2]] == "":
		w.WriteHeader(nethttp.StatusNotFound)
	case b.told[key]:
		w.WriteHeader(nethttp.StatusOK)
	case parts[3] == "cancel":
		b.customers[parts[2]], b.told[key] = "cancelled", true
		b.cancelled++
	case parts[3] == "review":
		b.told[key] = true
		b.reviewed++
	default:
		w.WriteHeader(nethttp.StatusBadRequest)
	}
}

func TestExampleBilling(t *testing.T) {
	t.Parallel()
	fake := &billing{customers: map[string]string{"user_2xKq9": "active"}, told: map[string]bool{}}
	d := example(t, "billing.json", fake)
	require.False(t, d.Capabilities().States, "each deletion is told of")

	result := d.Send(t.Context(), []destination.Message{destinationtest.Updated()})[0]
	require.Equal(t, destination.Delivered, result.Outcome)
	require.Contains(t, result.Reason, "nothing to do for user.updated")
	for range 3 { // an attempt whose answer was lost comes again
		result = d.Send(t.Context(), []destination.Message{destinationtest.Deleted()})[0]
		require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
	}
	require.Equal(t, "cancelled", fake.customers["user_2xKq9"])
	require.Equal(t, 1, fake.cancelled)

	result = d.Send(t.Context(), []destination.Message{destinationtest.Restored()})[0]
	require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
	require.Equal(t, 1, fake.reviewed)

	never := destinationtest.User(row{"id": "user_who_never_paid", "deleted_at": "2026-05-04T10:20:30Z"})
	result = d.Send(t.Context(), []destination.Message{destinationtest.Message(9, destination.UserDeleted, never, never, "deleted_at")})[0]
	require.Equal(t, destination.Delivered, result.Outcome, "there is nothing to cancel")
	require.Equal(t, 404, result.Status)
}

// segment is a list of a marketing system.
type segment struct {
	mu      sync.Mutex
	members map[string]map[string]any
}

func (s *segment) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, password, _ := r.BasicAuth()
	id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case password != token:
		w.WriteHeader(nethttp.StatusUnauthorized)
	case r.Method == nethttp.MethodDelete && s.members[id] == nil:
		w.WriteHeader(nethttp.StatusNotFound)
	case r.Method == nethttp.MethodDelete:
		delete(s.members, id)
		w.WriteHeader(nethttp.StatusNoContent)
	case r.Method == nethttp.MethodPut:
		if s.members[id] == nil {
			s.members[id] = map[string]any{}
		}
		var body map[string]any
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(nethttp.StatusBadRequest)
			return
		}
		maps.Copy(s.members[id], body) // as such systems do: what is not named stays
	default:
		w.WriteHeader(nethttp.StatusMethodNotAllowed)
	}
}

func TestExampleSegment(t *testing.T) {
	t.Parallel()
	fake := &segment{members: map[string]map[string]any{}}
	d := example(t, "segment.json", fake)
	require.True(t, d.Capabilities().States, "only the newest state matters")
	metadata := func(plan, consent any) row {
		return row{"raw": map[string]any{"app_metadata": map[string]any{"plan": plan, "consent": consent}}}
	}
	change := func(n int64, eventType string, before, user row) {
		t.Helper()
		m := destinationtest.Message(n, eventType, before, user, "raw")
		result := d.Send(t.Context(), []destination.Message{m})[0]
		require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
	}
	free, pro := destinationtest.User(metadata("free", true)), destinationtest.User(metadata("pro", false))

	change(1, destination.UserCreated, nil, free)
	require.Equal(t, map[string]any{"email": "ada@example.com", "first_name": "Ada", "plan": "free", "subscribed": true}, fake.members["user_2xKq9"])
	change(2, destination.UserUpdated, free, pro)
	require.Equal(t, "pro", fake.members["user_2xKq9"]["plan"])
	require.Equal(t, false, fake.members["user_2xKq9"]["subscribed"], "false is a value, and consent that is withdrawn must arrive")

	unknown := destinationtest.User(metadata(nil, nil))
	unknown["first_name"] = ""
	change(3, destination.UserUpdated, pro, unknown)
	require.Equal(t, "pro", fake.members["user_2xKq9"]["plan"], "nothing is overwritten by an empty value")
	require.Equal(t, "Ada", fake.members["user_2xKq9"]["first_name"])

	for range 2 {
		change(4, destination.UserDeleted, unknown, unknown)
		require.Empty(t, fake.members)
	}
}

// accounts is a billing system with an account for each organization.
type accounts struct {
	mu  sync.Mutex
	all map[string]map[string]any
}

func (a *accounts) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id, is := strings.CutPrefix(r.URL.Path, "/v1/accounts/")
	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		w.WriteHeader(nethttp.StatusUnauthorized)
	case !is:
		w.WriteHeader(nethttp.StatusBadRequest)
	case r.Method == nethttp.MethodDelete:
		delete(a.all, id)
		w.WriteHeader(nethttp.StatusNoContent)
	default:
		var body map[string]any
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(nethttp.StatusBadRequest)
			return
		}
		a.all[id] = body
	}
}

func TestExampleAccounts(t *testing.T) {
	t.Parallel()
	fake := &accounts{all: map[string]map[string]any{}}
	d := example(t, "accounts.json", fake)
	organization := func(eventType string) destination.Result {
		m, err := destination.TestMessage(destinationtest.DestinationID(), destinationtest.ProjectID(), eventType, destinationtest.EventAt())
		require.NoError(t, err)
		return d.Send(t.Context(), []destination.Message{m})[0]
	}
	for _, eventType := range []string{"organization.created", "organization.updated", "organization.restored"} {
		result := organization(eventType)
		require.Equal(t, destination.Delivered, result.Outcome, result.Reason)
		require.Equal(t, map[string]map[string]any{"authsync-test-organization": {"name": "Test", "slug": "test"}}, fake.all, eventType)
	}
	require.Equal(t, destination.Delivered, organization("organization.deleted").Outcome)
	require.Empty(t, fake.all)
	result := d.Send(t.Context(), []destination.Message{destinationtest.Updated()})[0]
	require.Contains(t, result.Reason, "nothing to do for user.updated")
}
