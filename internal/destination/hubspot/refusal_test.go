package hubspot_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func TestRefusal(t *testing.T) {
	t.Parallel()

	t.Run("RefusedTokenPauses", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		b.portal.SetTokens(map[string][]string{})
		for _, r := range b.send(t, created(t, newUsers(3))...) {
			require.Equal(t, destination.Pause, r.Outcome)
			require.Equal(t, 401, r.Status)
			require.Contains(t, r.Reason, "HubSpot refuses the access token")
			require.Contains(t, r.Reason, "secret access_token")
			require.NotContains(t, r.Reason+r.Response, hubspottest.Token, "HubSpot repeats it, authsync does not")
		}
		require.Len(t, b.calls(), 1)
	})

	t.Run("MissingScopeIsNamed", func(t *testing.T) {
		t.Parallel()
		for have, lacks := range map[string]string{hubspottest.ReadScope: hubspottest.WriteScope, hubspottest.WriteScope: hubspottest.ReadScope} {
			b := setup(t, withID)
			b.portal.SetTokens(map[string][]string{hubspottest.Token: {have}})
			r := b.send1(t, message(t, nil, ada()))
			require.Equal(t, destination.Pause, r.Outcome)
			require.Contains(t, r.Reason, "HubSpot asks for "+lacks)
		}
	})

	t.Run("UnknownPropertyIsNamedWithItsOption", func(t *testing.T) {
		t.Parallel()
		for options, words := range map[string]string{
			`{"properties": {"email": ".user.email", "planet": "1"}}`:      `no contact property "planet": make it there (Settings → Properties → Contact properties), or take it out of the option properties`,
			`{"on_delete": {"set": {"planet": "x"}}}`:                      `take it out of the option on_delete`,
			`{"on_restore": {"set": {"planet": "x"}}}`:                     `take it out of the option on_restore`,
			`{"id_property": "planet"}`:                                    `HubSpot finds no contacts by the property "planet" of the option id_property`,
			`{"properties": {"email": "1"}, "id_property": "user_status"}`: `it must exist and have unique values (hasUniqueValue)`,
		} {
			b := setup(t, options)
			b.portal.Add(map[string]string{"email": "ada@example.com"})
			m := message(t, nil, ada())
			if strings.Contains(options, "on_delete") {
				m = message(t, ada(), gone(ada()))
			}
			r := b.send1(t, m)
			require.Equal(t, destination.Pause, r.Outcome, options)
			require.Contains(t, r.Reason, words)
			require.Equal(t, 400, r.Status)
		}
	})

	t.Run("BadValueFailsOneDelivery", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"properties": {"email": ".user.email", "plan": ".user.raw.plan"}}`)
		r := b.send1(t, message(t, nil, ada().with(func(u *user) { u.Raw = map[string]any{"plan": "gold"} })))
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "does not accept the value of property plan (INVALID_OPTION)")
		require.Contains(t, r.Response, "INVALID_OPTION")
		r = b.send1(t, message(t, nil, ada().with(func(u *user) { u.Email = "ada at home" })))
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "property email (INVALID_EMAIL)")
	})

	t.Run("TroubleIsRetriedAndDoneOnce", func(t *testing.T) {
		t.Parallel()
		for name, fault := range map[string]hubspottest.Fault{
			"Before":      {Kind: hubspottest.FaultBefore},
			"After":       {Kind: hubspottest.FaultAfter},
			"Cut":         {Kind: hubspottest.FaultCut},
			"Unavailable": {Kind: hubspottest.FaultAfter, Status: 503},
			"Timeout":     {Kind: hubspottest.FaultAfter, Status: 504},
			"Moved":       {Kind: hubspottest.FaultBefore, Status: 302},
			"Stranger":    {Kind: hubspottest.FaultAfter, Status: 200, Body: "<html>"},
			"NoBody":      {Kind: hubspottest.FaultAfter, Status: 200, Body: " "},
			"Locked":      {Kind: hubspottest.FaultBefore, Status: 423},
		} {
			for _, method := range []string{"GET", "POST"} {
				b := setup(t, withID)
				fault.Method = method
				b.portal.Fail(fault)
				m := message(t, nil, ada())
				r := b.send1(t, m)
				require.Equal(t, destination.Retry, r.Outcome, name)
				require.NotEmpty(t, r.Reason)
				m.Attempt = 2
				b.delivered(t, m)
				require.Len(t, b.contacts(), 1, name)
			}
		}
	})

	t.Run("NobodyThere", func(t *testing.T) {
		t.Parallel()
		d := open(t, "http://127.0.0.1:1", withID, destination.Deps{})
		r := d.Send(t.Context(), []destination.Message{message(t, nil, ada()), message(t, ada(), ada().with(func(u *user) { u.ID, u.First = "user_2", "B" }))})
		require.Equal(t, destination.Retry, r[0].Outcome)
		require.Contains(t, r[0].Reason, "no answer")
	})

	t.Run("EndedContextLeavesNothingUnanswered", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range b.destination.Send(ctx, append(created(t, newUsers(3)), message(t, ada(), gone(ada())))) {
			if r.Outcome != destination.Delivered { // on_delete is nothing
				require.Equal(t, destination.Retry, r.Outcome)
			}
		}
		require.Empty(t, b.contacts())
	})
}

// hanging never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestSlowAnswerIsGivenUpAfterFifteenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "http://hubspot.example", `{"id_path": "raw.hubspot"}`, destination.Deps{Client: &http.Client{Transport: hanging{}}})
		begun := time.Now()
		alone := ada().with(func(u *user) { u.Raw = map[string]any{"hubspot": "1"} })
		results := d.Send(t.Context(), created(t, append(newUsers(2), alone)))
		require.Equal(t, 15*time.Second, time.Since(begun), "one wait, not one for each")
		require.Equal(t, "no answer: there was none within 15s", results[0].Reason)
		require.Equal(t, destination.Retry, results[1].Outcome)
		require.Equal(t, destination.Deferred, results[2].Outcome, "it was not sent")
		require.Positive(t, results[2].After)
	})
}

func TestPreview(t *testing.T) {
	t.Parallel()
	b := setup(t, `{"id_property": "authsync_user_id", "id_path": "raw.hubspot", "missing": "skip"}`)
	show := func(m destination.Message) []string {
		t.Helper()
		requests, err := b.destination.Preview(t.Context(), m)
		require.NoError(t, err)
		var out []string
		for _, r := range requests {
			require.Equal(t, "Bearer ***", r.Header.Get("Authorization"))
			require.NotEmpty(t, r.Note)
			text, err := json.Marshal(r) //nolint:musttag // to look for secrets in all fields
			require.NoError(t, err)
			require.NotContains(t, string(text), hubspottest.Token)
			_, path, _ := strings.Cut(r.URL, hubspottest.Contacts)
			out = append(out, r.Method+" "+path+" "+string(r.Body))
		}
		return out
	}
	u := ada().with(func(u *user) { u.Raw = map[string]any{"hubspot": "12"} })
	all := `{"properties":{"authsync_user_id":"user_1","email":"ada@example.com","firstname":"Ada","lastname":"Lovelace"}}`
	looks := []string{
		"GET /user_1?idProperty=authsync_user_id&properties=authsync_user_id ",
		"GET /12?properties=authsync_user_id ",
		"GET /ada@example.com?idProperty=email&properties=authsync_user_id ",
		"PATCH /{id} " + all,
	}
	require.Equal(t, append(looks, "POST  "+all), show(message(t, nil, u)))

	m := message(t, ada().with(func(u *user) { u.First = "A" }), u)
	m.ExternalID = "123"
	require.Equal(t, append([]string{`PATCH /123 {"properties":{"firstname":"Ada"}}`}, looks...), show(m), "missing is skip")
	require.Empty(t, show(message(t, ada(), u)), "no mapped property changed")
	require.Empty(t, b.calls(), "nothing is sent")

	b = setup(t, `{"properties": {"email": ".user.raw.x.y"}}`)
	_, err := b.destination.Preview(t.Context(), message(t, nil, ada().with(func(u *user) { u.Raw = map[string]any{"x": "text"} })))
	require.True(t, fault.Is(err, fault.Invalid))
	require.ErrorContains(t, err, "email")
}

func TestTraits(t *testing.T) {
	t.Parallel()
	capabilities := func(options string) destination.Capabilities {
		return open(t, "http://hubspot.example", options, destination.Deps{}).Capabilities()
	}
	plain := capabilities(`{}`)
	require.True(t, plain.States)
	require.Equal(t, 100, plain.Batch)
	require.Equal(t, destination.Limit{Requests: 100, Per: 10 * time.Second, Daily: 250_000}, plain.Limits["api"])
	require.Equal(t, destination.Limit{Requests: 190, Per: 10 * time.Second, Daily: 650_000, Zone: "Europe/Berlin"},
		capabilities(`{"tier": "professional", "time_zone": "Europe/Berlin"}`).Limits["api"])
	require.Equal(t, destination.Limit{Requests: 250, Per: 10 * time.Second, Daily: 1_000_000},
		capabilities(`{"tier": "enterprise", "requests_per_10s": 250}`).Limits["api"])

	require.NotContains(t, plain.Account, hubspottest.Token)
	require.Equal(t, plain.Account, capabilities(`{"missing": "skip"}`).Account, "destinations with one token share its limits")
	require.NotEqual(t, plain.Account, capabilities(`{"portal_id": "123"}`).Account)

	require.Equal(t, "hubspot", hubspot.Type{}.Name())
	require.Equal(t, []string{"access_token"}, hubspot.Type{}.SecretNames())
	_, _, made := hubspot.Type{}.NewSecret()
	require.False(t, made)
}

func TestTheTokenGoesToTheAPI(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"https://api.hubapi.com:443"}, hubspot.Type{}.SendsSecretsTo(json.RawMessage(`{}`)))
	require.Equal(t, []string{"https://other.example.com:443"}, hubspot.Type{}.SendsSecretsTo(json.RawMessage(`{"base_url": "https://other.example.com/x"}`)))
	require.Nil(t, hubspot.Type{}.SendsSecretsTo(json.RawMessage(`[]`)))
}
