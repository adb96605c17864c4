package clerk_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// redeliverer opens the instance of an integration whose endpoint was set up.
func redeliverer(t *testing.T, c *instance) (source userapi.Source, r userapi.Redeliverer, own string) {
	t.Helper()
	w := c.Open(c.Clock.Deps())
	made, err := w.Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	c.options.Provision = true
	source, err = clerk.New().NewSource(c.credentials, c.options, c.Clock.Deps())
	require.NoError(t, err)
	r, can := source.(userapi.Redeliverer)
	require.True(t, can)
	return source, r, made.ID
}

func TestFailedMessagesAreCountedAndSentAgain(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	_, r, own := redeliverer(t, c)
	now := c.Clock.Now()
	for i := range 5 {
		c.server.Svix.AddMessage(own, demoprovider.SvixMessage{
			ID: fmt.Sprintf("msg_%d", i), Type: "user.created", Body: `{"secret": "content"}`, At: now.Add(-time.Duration(i+1) * time.Hour), Status: demoprovider.SvixFailed,
		})
	}
	for status, at := range map[int]time.Time{
		demoprovider.SvixDelivered: now, demoprovider.SvixRetrying: now, demoprovider.SvixMissed: now,
	} {
		c.server.Svix.AddMessage(own, demoprovider.SvixMessage{ID: fmt.Sprintf("msg_s%d", status), Type: "user.updated", At: at, Status: status})
	}
	c.server.Svix.AddMessage(own, demoprovider.SvixMessage{ID: "msg_old", Type: "user.updated", At: now.Add(-15 * 24 * time.Hour), Status: demoprovider.SvixFailed})
	theirs := c.Add("https://elsewhere.example.com")
	c.server.Svix.AddMessage(theirs, demoprovider.SvixMessage{ID: "msg_theirs", Type: "user.updated", At: now, Status: demoprovider.SvixFailed})

	found, err := r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{DryRun: true})
	require.NoError(t, err)
	require.Len(t, found.Streams, 1)
	one := found.Streams[0]
	require.Equal(t, own, one.ID)
	require.True(t, one.Enabled)
	require.True(t, one.Complete)
	require.Equal(t, 5, one.Failed, "those that Svix still retries, or keeps no longer, are not")
	require.Equal(t, map[string]int{"user.created": 5}, one.Types)
	require.WithinDuration(t, now.Add(-5*time.Hour), *one.Oldest, time.Second)
	require.Equal(t, "sync.example.com/api/capydb/v1/integrations/clerk/webhook/"+shopProject, one.Endpoint)
	require.False(t, one.Requested)

	done, err := r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.True(t, done.Streams[0].Requested)
	c.server.Svix.Posted()
	for _, m := range c.server.Svix.Messages() {
		if m.ID == "msg_theirs" || m.ID == "msg_old" {
			require.Equal(t, demoprovider.SvixFailed, m.Status, m.ID)
		}
	}
	_, err = r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{Stream: theirs})
	require.True(t, fault.Is(err, fault.StreamNotFound), err)
	_, err = r.Redeliver(t.Context(), "3d4e5f60-0000-4000-8000-000000000000", userapi.RedeliverRequest{})
	require.True(t, fault.Is(err, fault.StreamNotFound), err)
}

func TestADisabledEndpointIsSeenAndEnabled(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	source, r, own := redeliverer(t, c)
	c.server.Svix.Change(own, func(e *demoprovider.SvixEndpoint) { e.Disabled = true })
	c.server.Svix.AddMessage(own, demoprovider.SvixMessage{ID: "msg_1", Type: "user.created", At: c.Clock.Now(), Status: demoprovider.SvixMissed})
	found, err := r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{})
	require.NoError(t, err)
	require.False(t, found.Streams[0].Enabled)
	require.False(t, found.Streams[0].Requested, "nothing is sent to it")
	before := c.server.Svix.All()[0]
	enabler, can := source.(userapi.Reenabler)
	require.True(t, can)
	require.NoError(t, enabler.Reenable(t.Context(), own))
	c.server.Svix.Posted()
	before.Disabled = false
	require.Equal(t, before, c.server.Svix.All()[0], "nothing else of it is changed")
	require.NotEqual(t, demoprovider.SvixMissed, c.server.Svix.Messages()[0].Status, "what was missed is sent")
}

// Without option provision no call is made that Clerk does not document.
func TestWithoutProvisionTheEndpointIsNotLookedAt(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	source, err := clerk.New().NewSource(c.credentials, c.options, c.Clock.Deps())
	require.NoError(t, err)
	_, can := source.(userapi.Redeliverer)
	require.False(t, can)
	_, can = source.(userapi.Reenabler)
	require.False(t, can)
}

// Surprises lead to going by hand, and an endpoint that leads elsewhere is left alone.
func TestSurprisesOfTheEndpointChangeNothing(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	source, r, own := redeliverer(t, c)
	c.server.Svix.Change(own, func(e *demoprovider.SvixEndpoint) { e.URL = "https://elsewhere.example.com/x" })
	_, err := r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{})
	require.True(t, fault.Is(err, fault.StreamNotFound), err)
	c.server.Svix.Change(own, func(e *demoprovider.SvixEndpoint) { e.URL = receiverURL })

	c.server.Fail(demoprovider.Fault{Status: 200, Body: `{"data": {}}`})
	_, err = r.Redeliver(t.Context(), shopProject, userapi.RedeliverRequest{})
	require.Error(t, err)
	c.server.Heal()
	enabler, can := source.(userapi.Reenabler)
	require.True(t, can)
	err = enabler.Reenable(t.Context(), "ep_gone")
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, "By hand: Clerk dashboard")
}
