package auth0_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

const (
	shopProject = "0b0c7a52-91f3-4f4e-a8a1-1f6f5d6a7b10"
	streamA     = "est_AAAAAAAAAAAAAAAAAAAAAA"
	streamB     = "est_BBBBBBBBBBBBBBBBBBBBBB"
	receiver    = "https://sync.example.com/api/capydb/v1/integrations/auth0/webhook/" + shopProject
)

// began is when the deliveries of the tests began to fail.
func began() time.Time { return time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC) }

// streams is a tenant whose stream A goes to the project's receiver.
func streams(tb testing.TB, more ...demoprovider.Auth0Stream) (*demoprovider.Auth0, *userapitest.Case) {
	tb.Helper()
	server, c := fake(tb, 3)
	server.Scope = demoprovider.Auth0StreamScopes
	server.Streams.Streams = append([]demoprovider.Auth0Stream{{ID: streamA, Name: "users", Endpoint: receiver}}, more...)
	return server, c
}

func redeliver(tb testing.TB, c *userapitest.Case, r userapi.RedeliverRequest) (userapi.Redelivery, error) {
	tb.Helper()
	redeliverer, ok := open(tb, c).(userapi.Redeliverer)
	require.True(tb, ok)
	return redeliverer.Redeliver(tb.Context(), shopProject, r)
}

// event is what was posted of the n-th event of an outage, one a second.
func event(n int) []byte {
	kind := []string{"user.created", "user.updated", "user.updated"}[n%3]
	at := began().Add(time.Duration(n) * time.Second).Format("2006-01-02T15:04:05.000Z")
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"evt_%022d","type":%q,"time":%q,"data":{"object":{"user_id":"auth0|%d"}}}`, n, kind, at, n)
}

func fail(server *demoprovider.Auth0, stream string, n int) {
	for i := range n {
		server.Streams.AddFailed(stream, event(i))
	}
}

func TestRedeliverAsksForAllThatFailed(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 99, 100, 250} {
		server, c := streams(t)
		fail(server, streamA, n)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Len(t, got.Streams, 1)
		one := got.Streams[0]
		require.Equal(t, n, one.Failed)
		require.True(t, one.Complete)
		require.Equal(t, n > 0, one.Requested, "nothing is asked for where nothing failed")
		require.Equal(t, n, server.Streams.With(streamA, "pending"))
		require.Equal(t, []string{}, one.Notes)
		require.Nil(t, one.Problem)
		if n == 250 {
			require.Equal(t, map[string]int{"user.created": 84, "user.updated": 166}, one.Types)
			require.Equal(t, began(), *one.Oldest)
			require.Equal(t, began().Add(249*time.Second), *one.Newest)
			require.Equal(t, 3, server.Requests("/deliveries"))
			require.Equal(t, "sync.example.com/api/capydb/v1/integrations/auth0/webhook/"+shopProject, one.Endpoint)
			require.Equal(t, "users", one.Name)
			require.True(t, one.Enabled)
		}
	}
}

func TestRedeliverTakesBareLists(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]struct {
		failed   int
		complete bool
	}{30: {30, true}, 150: {100, false}} {
		server, c := streams(t)
		server.Streams.Bare = true
		fail(server, streamA, n)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, want.failed, got.Streams[0].Failed)
		require.Equal(t, want.complete, got.Streams[0].Complete, "a full list does not say whether there is more")
		require.Equal(t, n, server.Streams.With(streamA, "pending"), "what was not counted is asked for as well")
	}
}

func TestRedeliverRoundsOutwards(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*60*60)
	for name, tc := range map[string]struct {
		from, to time.Time
		want     []int // the events between the first and before the second
	}{
		"WholeSeconds": {began().Add(3 * time.Second), began().Add(6 * time.Second), []int{3, 4, 5}},
		"Fractions":    {began().Add(3*time.Second + 1), began().Add(5*time.Second + 1), []int{3, 4, 5}},
		"OtherZone":    {began().Add(3 * time.Second).In(zone), began().Add(6 * time.Second).In(zone), []int{3, 4, 5}},
		"FromOnly":     {began().Add(8 * time.Second), time.Time{}, []int{8, 9}},
		"ToOnly":       {time.Time{}, began().Add(2 * time.Second), []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := streams(t)
			fail(server, streamA, 10)
			got, err := redeliver(t, c, userapi.RedeliverRequest{From: tc.from, To: tc.to})
			require.NoError(t, err)
			one := got.Streams[0]
			require.Equal(t, len(tc.want), one.Failed)
			require.Equal(t, len(tc.want), server.Streams.With(streamA, "pending"))
			require.Equal(t, began().Add(time.Duration(tc.want[0])*time.Second), *one.Oldest)
			if tc.from.IsZero() {
				require.Nil(t, got.From)
			} else {
				require.Equal(t, tc.from.UTC().Truncate(time.Second), *got.From)
			}
			if tc.to.IsZero() {
				require.Nil(t, got.To)
			} else {
				require.False(t, got.To.Before(tc.to))
				require.Zero(t, got.To.Nanosecond())
			}
		})
	}
}

func TestDryRunAsksForNothing(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	server.Scope = "read:event_streams read:event_deliveries"
	fail(server, streamA, 5)
	got, err := redeliver(t, c, userapi.RedeliverRequest{DryRun: true})
	require.NoError(t, err)
	require.True(t, got.DryRun)
	require.Equal(t, 5, got.Streams[0].Failed)
	require.False(t, got.Streams[0].Requested)
	require.Zero(t, server.Requests("/redeliver"))
}

func TestRedeliverNamesTheMissingPermission(t *testing.T) {
	t.Parallel()
	all := strings.Fields(demoprovider.Auth0StreamScopes)
	for missing, without := range map[string][]string{
		"read:event_streams":      {"read:event_deliveries", "update:event_deliveries"},
		"update:event_deliveries": {"read:event_streams", "read:event_deliveries"},
	} {
		server, c := streams(t)
		server.Scope = strings.Join(without, " ")
		fail(server, streamA, 1)
		_, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.True(t, fault.Is(err, fault.CredentialsRefused), err)
		require.ErrorContains(t, err, "lacks the permission "+missing)
		require.ErrorContains(t, err, "Auth0 Management API, Machine to Machine Applications")
		require.NotContains(t, err.Error(), "eyJ-token")
	}
	// Auth0 lets either of the two read deliveries; where it does not, ours is named.
	server, c := streams(t)
	server.Fail(demoprovider.Fault{Path: "/deliveries", Status: http.StatusForbidden, Body: `{"statusCode":403,"message":"Insufficient scope"}`})
	_, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.ErrorContains(t, err, "lacks the permission "+all[1])
	require.ErrorContains(t, err, "Auth0 says: Insufficient scope")
}

func TestStreamsOfTheProjectAreChosen(t *testing.T) {
	t.Parallel()
	other := demoprovider.Auth0Stream{ID: streamB, Name: "crm", Endpoint: "https://hook:s3cret@crm.example.com/in?key=s3cret#s3cret"}
	aws := demoprovider.Auth0Stream{ID: "est_CCCCCCCCCCCCCCCCCCCCCC", Name: "lake"}
	ids := func(r userapi.Redelivery) (list []string) {
		for _, s := range r.Streams {
			list = append(list, s.ID)
		}
		return list
	}

	t.Run("OthersAreLeftAlone", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t, other, aws)
		fail(server, streamA, 2)
		fail(server, streamB, 2)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, []string{streamA}, ids(got))
		require.Equal(t, 2, server.Streams.With(streamB, "failed"))
	})
	t.Run("AnotherHostIsAProxy", func(t *testing.T) {
		t.Parallel()
		proxied := other
		proxied.Endpoint = "https://edge.example.com:8443/sync/integrations/auth0/webhook/" + strings.ToUpper(shopProject)
		server, c := streams(t, proxied)
		fail(server, streamA, 1)
		fail(server, streamB, 2)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, []string{streamA, streamB}, ids(got), "each is asked and reported")
		require.Equal(t, 1, server.Streams.With(streamA, "pending"))
		require.Equal(t, 2, server.Streams.With(streamB, "pending"))
		require.Empty(t, got.Streams[1].Notes)
	})
	t.Run("TheOneThatIsNamed", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t, other)
		fail(server, streamA, 1)
		fail(server, streamB, 2)
		got, err := redeliver(t, c, userapi.RedeliverRequest{Stream: streamB})
		require.NoError(t, err)
		require.Equal(t, []string{streamB}, ids(got))
		require.Equal(t, "crm.example.com/in", got.Streams[0].Endpoint)
		require.Contains(t, got.Streams[0].Notes[0], "not that of this project's receiver")
		require.Zero(t, server.Streams.With(streamA, "pending"))
	})
	t.Run("NoneOfTheProject", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		disabled := other
		disabled.Disabled = true
		server.Streams.Streams = []demoprovider.Auth0Stream{disabled, aws}
		for _, r := range []userapi.RedeliverRequest{{}, {Stream: streamA}} {
			_, err := redeliver(t, c, r)
			require.True(t, fault.Is(err, fault.StreamNotFound), err)
			require.ErrorContains(t, err, streamB+" (crm.example.com/in, disabled), "+aws.ID+" (no webhook, eventbridge)")
			require.NotContains(t, err.Error(), "s3cret")
		}
		_, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.ErrorContains(t, err, "name it: --stream est_")
	})
	t.Run("NoneAtAll", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		server.Streams.Streams = nil
		_, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.True(t, fault.Is(err, fault.StreamNotFound), err)
		require.ErrorContains(t, err, "has no event stream")
	})
	t.Run("MoreThanAPage", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		others := slices.Repeat([]demoprovider.Auth0Stream{other}, 230)
		for i := range others {
			others[i].ID = fmt.Sprintf("est_%022d", i)
		}
		server.Streams.Streams = append(others, server.Streams.Streams...)
		fail(server, streamA, 1)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, []string{streamA}, ids(got))
		_, err = redeliver(t, c, userapi.RedeliverRequest{Stream: "est_none"})
		require.ErrorContains(t, err, "221 more")
	})
}

func TestDisabledStreamIsSaidToBe(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	server.Streams.Streams[0].Disabled = true
	fail(server, streamA, 1)
	got, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.NoError(t, err)
	one := got.Streams[0]
	require.False(t, one.Enabled)
	require.True(t, one.Requested, "Auth0 wants failures to be fewer before it enables the stream again")
	notes := strings.Join(one.Notes, "\n")
	require.Contains(t, notes, "keeps no event that happens meanwhile")
	require.Contains(t, notes, "auth0 event-streams update "+streamA+" --status enabled")
	require.Contains(t, notes, "run authsync reconcile")
}

func TestRedeliverySaysWhenItCannotBeNow(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	server.Streams.Busy = true
	fail(server, streamA, 1)
	_, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.True(t, fault.Is(err, fault.RedeliveryUnderWay), err)
	require.ErrorContains(t, err, "under way already")
	require.ErrorContains(t, err, "One or more events is not in a state")
}

func TestTroubleWithOneStreamDoesNotHideTheOther(t *testing.T) {
	t.Parallel()
	server, c := streams(t, demoprovider.Auth0Stream{ID: streamB, Name: "second", Endpoint: receiver})
	fail(server, streamA, 1)
	fail(server, streamB, 2)
	server.Fail(demoprovider.Fault{Path: streamA + "/redeliver", Status: http.StatusConflict, Body: `{"statusCode":409,"message":"busy"}`})
	got, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.Contains(t, *got.Streams[0].Problem, "busy")
	require.False(t, got.Streams[0].Requested)
	require.Equal(t, 1, got.Streams[0].Failed, "what was counted is still said")
	require.Nil(t, got.Streams[1].Problem)
	require.True(t, got.Streams[1].Requested)
}

func TestRedeliverOutlivesPassingTrouble(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	fail(server, streamA, 150)
	server.Fail(
		demoprovider.Fault{Path: "/event-streams", Status: http.StatusInternalServerError},
		demoprovider.Fault{Path: "/event-streams", Cut: true},
		demoprovider.Fault{Path: "/deliveries", Cut: true},
		demoprovider.Fault{Path: "/deliveries", Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}},
		demoprovider.Fault{Path: "/redeliver", Status: http.StatusBadGateway, Body: "<html>"},
	)
	got, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.Equal(t, 150, got.Streams[0].Failed, "a page that is read twice is counted once")
	require.True(t, got.Streams[0].Requested)
	require.Equal(t, 150, server.Streams.With(streamA, "pending"))
}

func TestRedeliverSaysWhatLasts(t *testing.T) {
	t.Parallel()
	page := http.Header{"Content-Type": {"text/html"}}
	for name, tc := range map[string]struct {
		answer demoprovider.Fault
		want   fault.Code
	}{
		"ListFails":       {demoprovider.Fault{Path: "/event-streams", Status: 500}, fault.ProviderUnavailable},
		"ListIsAPage":     {demoprovider.Fault{Path: "/event-streams", Status: 200, Header: page, Body: "<html>"}, fault.ProviderError},
		"ListHasNoList":   {demoprovider.Fault{Path: "/event-streams", Status: 200, Body: `{"streams":[]}`}, fault.ProviderUnavailable},
		"ListIsNull":      {demoprovider.Fault{Path: "/event-streams", Status: 200, Body: `null`}, fault.ProviderUnavailable},
		"NextIsANumber":   {demoprovider.Fault{Path: "/deliveries", Status: 200, Body: `{"deliveries":[],"next":7}`}, fault.ProviderUnavailable},
		"DeliveriesFail":  {demoprovider.Fault{Path: "/deliveries", Status: 503}, fault.ProviderUnavailable},
		"DeliveriesGone":  {demoprovider.Fault{Path: "/deliveries", Status: 404, Body: `{"statusCode":404,"message":"The event stream does not exist."}`}, fault.ProviderError},
		"LongPause":       {demoprovider.Fault{Path: "/deliveries", Status: 429, Header: http.Header{"Retry-After": {"90"}}}, fault.ProviderUnavailable},
		"RedeliverFails":  {demoprovider.Fault{Path: "/redeliver", Status: 500}, fault.ProviderUnavailable},
		"RedeliverIsOdd":  {demoprovider.Fault{Path: "/redeliver", Status: 200, Body: "hello"}, fault.ProviderUnavailable},
		"RedeliverRefuse": {demoprovider.Fault{Path: "/redeliver", Status: 400, Body: `{"message":"Payload validation error"}`}, fault.ProviderError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := streams(t)
			fail(server, streamA, 1)
			server.Fail(slices.Repeat([]demoprovider.Fault{tc.answer}, 20)...)
			_, err := redeliver(t, c, userapi.RedeliverRequest{})
			require.True(t, fault.Is(err, tc.want), err)
		})
	}
}

// An empty answer to a request that was taken is one, too.
func TestRedeliverTakesAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	fail(server, streamA, 1)
	server.Fail(demoprovider.Fault{Path: "/redeliver", Status: http.StatusAccepted})
	got, err := redeliver(t, c, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.True(t, got.Streams[0].Requested)
}
