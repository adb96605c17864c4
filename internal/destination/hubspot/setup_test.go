package hubspot_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idProperty is the unique property that most tests use.
const idProperty = "authsync_user_id"

// companyProperty is the same of companies.
const companyProperty = "authsync_organization_id"

// user is a row of users, as far as the tests go.
type user struct {
	ID        string         `json:"id"`
	Email     string         `json:"email,omitempty"`
	First     string         `json:"first_name,omitempty"`
	Last      string         `json:"last_name,omitempty"`
	DeletedAt string         `json:"deleted_at,omitempty"`
	Raw       map[string]any `json:"raw,omitempty"`
}

func ada() *user {
	return &user{ID: "user_1", Email: "ada@example.com", First: "Ada", Last: "Lovelace"}
}

// with is the user with some fields changed.
func (u *user) with(change func(u *user)) *user {
	out := *u
	change(&out)
	return &out
}

func (u *user) json(tb testing.TB) json.RawMessage {
	tb.Helper()
	if u == nil {
		return nil
	}
	out, err := json.Marshal(u)
	require.NoError(tb, err)
	return out
}

// message is what a destination is told: the event type follows from the rows.
func message(tb testing.TB, before, after *user) destination.Message {
	tb.Helper()
	m := destination.Message{ID: "msg_" + after.ID, ChangeID: 1, RecordType: record.User, RecordID: after.ID, Attempt: 1, Before: before.json(tb), Row: after.json(tb)}
	switch {
	case after.DeletedAt != "":
		m.EventType = destination.UserDeleted
	case before == nil:
		m.EventType = destination.UserCreated
	case before.DeletedAt != "":
		m.EventType = destination.UserRestored
	default:
		m.EventType = destination.UserUpdated
	}
	return m
}

type testBundle struct {
	url         string
	portal      *hubspottest.HubSpot
	destination destination.Destination
}

// unlimited is for tests that are not about limits.
func unlimited() hubspottest.Config {
	return hubspottest.Config{
		Limits:     hubspottest.Limits{Window: math.MaxInt32, Daily: math.MaxInt32},
		Properties: map[string]hubspottest.Property{idProperty: {Unique: true}, "plan": {Options: []string{"free", "pro"}}, "user_status": {}},

		CompanyProperties: map[string]hubspottest.Property{companyProperty: {Unique: true}, "org_status": {}},
	}
}

// setup makes a portal and a destination with some options, in JSON.
func setup(tb testing.TB, options string) *testBundle {
	tb.Helper()
	return setupOn(tb, hubspottest.New(unlimited()), options, destination.Deps{})
}

func setupOn(tb testing.TB, portal *hubspottest.HubSpot, options string, d destination.Deps) *testBundle {
	tb.Helper()
	url := portal.Start(tb)
	return &testBundle{url: url, portal: portal, destination: open(tb, url, options, d)}
}

func open(tb testing.TB, url, options string, d destination.Deps) destination.Destination {
	tb.Helper()
	var all map[string]any
	require.NoError(tb, json.Unmarshal([]byte(options), &all))
	all["base_url"] = url
	raw, err := json.Marshal(all)
	require.NoError(tb, err)
	if d.Client == nil {
		transport := &http.Transport{}
		tb.Cleanup(transport.CloseIdleConnections)
		d.Client = &http.Client{Transport: transport}
	}
	out, err := hubspot.Type{}.New(destination.Config{
		ID: uuid.New(), Options: raw, Secrets: destination.Secrets{Values: map[string]string{hubspot.TokenSecret: hubspottest.Token}},
	}, d)
	require.NoError(tb, err)
	return out
}

func (b *testBundle) send(tb testing.TB, messages ...destination.Message) []destination.Result {
	tb.Helper()
	out := b.destination.Send(tb.Context(), messages)
	require.Len(tb, out, len(messages))
	return out
}

func (b *testBundle) send1(tb testing.TB, m destination.Message) destination.Result {
	tb.Helper()
	return b.send(tb, m)[0]
}

// delivered sends a message, which must arrive, and returns the link.
func (b *testBundle) delivered(tb testing.TB, m destination.Message) string {
	tb.Helper()
	r := b.send1(tb, m)
	require.Equal(tb, destination.Delivered, r.Outcome, r.Reason)
	if r.ExternalID == nil {
		return m.ExternalID
	}
	return *r.ExternalID
}

// contacts are the properties of all contacts, in the order of their creation.
func (b *testBundle) contacts() []map[string]string {
	out := []map[string]string{}
	for _, c := range b.portal.Contacts() {
		out = append(out, c.Properties)
	}
	return out
}

// calls are the requests so far, as in "GET /user_1 404".
func (b *testBundle) calls() []string {
	out := []string{}
	for _, c := range b.portal.Calls() {
		out = append(out, fmt.Sprintf("%s %s %d", c.Method, c.Path[len(hubspottest.Contacts):], c.Status))
	}
	return out
}
