package sender_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// exchange is a request with a body, answered with a status.
func exchange(body string, status int, response string) destination.Exchange {
	return destination.Exchange{
		Method: http.MethodPost, URL: "https://app.example.com", Header: http.Header{"Accept": {"application/json"}},
		Body: body, BodyBytes: len(body), Sent: true, Status: status, Response: response,
	}
}

// What each attempt sent is kept with it; of bodies that are repeated, once.
func TestRequestsOfAttemptsAreKept(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = 0
	find, long := exchange("", 404, "none"), exchange("first", 500, strings.Repeat("ü", 1500))
	other := exchange("second", 422, "no")
	answers := []destination.Result{
		{Outcome: destination.Retry, Status: 500, Response: long.Response, Reason: "it broke", Exchanges: []destination.Exchange{find, long}, Omitted: 3},
		{Outcome: destination.Retry, Status: 500, Reason: "it broke", Exchanges: []destination.Exchange{find, long}},
		{Outcome: destination.Retry, Status: 500, Reason: "it broke", Exchanges: []destination.Exchange{find, long}},
		{Outcome: destination.Retry, Reason: "no expression gives anything"},
		{Outcome: destination.GiveUp, Status: 422, Response: "no", Reason: "refused", Exchanges: []destination.Exchange{other}},
		{Outcome: destination.Delivered, Status: 200, Response: "thanks", Exchanges: []destination.Exchange{exchange("third", 200, "thanks")}},
	}
	tried := 0 // one attempt at a time: it is of one user
	id := b.Add(t, "sink", &deliverytest.Sink{Answer: func(context.Context, []destination.Message) []destination.Result {
		tried++
		return answers[tried-1 : tried]
	}})
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	takeUp(t, b, id, 1)
	b.Eventually(t, id, "delivered 1")
	_, log := attemptsOf(t, b, 1)
	require.Len(t, log, 6)
	require.Equal(t, []string{"third"}, log[0].Bodies)
	require.Equal(t, []string{"second"}, log[1].Bodies)
	require.NotNil(t, log[2].Requests)
	require.Empty(t, log[2].Requests, "it made none")
	for i, a := range log[3:] {
		require.Equal(t, []string{"", "first"}, a.Bodies, i)
		require.Len(t, a.Requests, 2)
		require.Equal(t, http.Header{"Accept": {"application/json"}}, a.Requests[0].Header)
		require.Equal(t, 404, a.Requests[0].Status)
		require.Equal(t, "none", *a.Requests[0].Response)
	}
	first := log[5]
	require.Equal(t, 3, first.Omitted)
	require.True(t, first.IsResponseCut)
	require.Equal(t, strings.Repeat("ü", 1000), *first.Response)
	require.Nil(t, first.Requests[1].Response, "it is the attempt's")
	require.Equal(t, strings.Repeat("ü", 1000), *log[4].Requests[1].Response, "it is not the attempt's")
	require.True(t, log[4].Requests[1].IsResponseCut)
	require.Equal(t, "3", b.One(t, `
		SELECT count(*)::text FROM authsync.deliveries AS d, unnest(d.attempt_log) AS a (attempt) WHERE a.attempt ? 'bodies'`))
}

// The oldest attempts go, and with them no body that a later one repeats.
func TestRepeatedBodiesOutliveTheirFirstAttempt(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = 0
	tried := 0
	id := b.Add(t, "sink", &deliverytest.Sink{Answer: func(context.Context, []destination.Message) []destination.Result {
		tried++
		return []destination.Result{{Outcome: destination.Retry, Status: 500, Exchanges: []destination.Exchange{exchange("the same", 500, "")}}}
	}})
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	_, log := attemptsOf(t, b, 1)
	require.Len(t, log, 10)
	require.Greater(t, log[9].Number, int64(1))
	for _, a := range log {
		require.Equal(t, []string{"the same"}, a.Bodies)
	}
	require.Equal(t, "1", b.One(t, `
		SELECT count(*)::text FROM authsync.deliveries AS d, unnest(d.attempt_log) AS a (attempt) WHERE a.attempt ? 'bodies'`))
}

// What succeeds at once is most of all that is sent: its requests are not kept.
func TestRequestsOfAFirstAttemptThatSucceedsAreNotKept(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{
		Outcome: destination.Delivered, Status: 200, Exchanges: []destination.Exchange{exchange("sent once", 200, "")},
	})})
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 1")
	_, log := attemptsOf(t, b, 1)
	require.Len(t, log, 1)
	require.Nil(t, log[0].Requests)
	require.Equal(t, "false", b.One(t, `SELECT (d::text LIKE '%sent once%')::text FROM authsync.deliveries AS d`))
}
