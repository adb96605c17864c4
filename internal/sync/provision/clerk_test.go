package provision_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestTheSecretKeyOfClerkIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server, put := b.instance(t)
	server.Svix.Add(demoprovider.SvixEndpoint{ID: "ep_byhand", URL: publicBase + path(provider.Clerk, b.projectID), Secret: "whsec_dGhlaXJzLW9mLXRoaXMtdGVzdC1hbG9uZQ=="})
	theirs := fmt.Sprint(server.Svix.All()[0])
	w, _ := b.start(t, b.config())
	put("")
	s := b.clerkReaches(t, w, provision.Ready)
	require.Equal(t, allDone, stepsOf(s))
	all := server.Svix.All()
	require.Len(t, all, 2)
	require.Equal(t, theirs, fmt.Sprint(all[0]), "an endpoint that is not ours is not touched")
	credentials, _, err := b.store.Credentials(t.Context(), b.projectID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{provider.Secret(all[1].Secret)}, credentials.WebhookSigningSecret, "nobody pasted it")

	// A new secret of ours is given to Clerk; what Clerk signed before is still accepted.
	newer := provider.NewSigningSecret(provider.Clerk)
	put(fmt.Sprintf(`{"add": %q}`, string(newer)))
	b.clerkReaches(t, w, provision.Ready)
	require.Equal(t, string(newer), server.Svix.All()[1].Secret)
	credentials, _, err = b.store.Credentials(t.Context(), b.projectID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{newer, provider.Secret(all[1].Secret)}, credentials.WebhookSigningSecret)

	server.Svix.Change(all[1].ID, func(one *demoprovider.SvixEndpoint) { one.Disabled = true })
	compared, err := w.Status(t.Context(), b.projectID, provider.Clerk, true)
	require.NoError(t, err)
	require.Equal(t, []string{"the webhook endpoint is disabled"}, compared.Differences)

	var stored string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT concat((SELECT string_agg(j::text, ' ') FROM authsync.river_job AS j), (SELECT string_agg(w::text, ' ') FROM authsync.provisioned_webhooks AS w))`).Scan(&stored))
	for _, secret := range []string{"whsec_", demoprovider.ClerkKey, "ott_", "appsk_"} {
		require.NotContains(t, stored, secret)
		require.NotContains(t, b.logged(), secret)
	}

	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Clerk))
	require.Len(t, server.Svix.All(), 1)
	require.Equal(t, theirs, fmt.Sprint(server.Svix.All()[0]))
}

func TestASurpriseOfClerksBlocksAndSaysHowToGoByHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server, put := b.instance(t)
	server.Fail(slices.Repeat([]demoprovider.Fault{{Path: "one-time-token", Status: 404, Body: "gone"}}, 100)...)
	w, _ := b.start(t, b.config())
	put("")
	s := b.clerkReaches(t, w, provision.Blocked)
	require.Contains(t, s.Problem, "By hand: Clerk dashboard, Configure, Webhooks, Add Endpoint")
	require.Empty(t, server.Svix.All())
}

func TestADeathBetweenTwoStepsLeavesOneEndpoint(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 8; n++ {
		t.Run(fmt.Sprint("AfterRequest", n), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			server, put := b.instance(t)
			var requests atomic.Int64
			dead, died := make(chan struct{}), make(chan struct{})
			server.Answered = func(*http.Request) {
				if requests.Add(1) == n {
					close(dead)
					<-died
				}
			}
			w, stop := b.start(t, b.config())
			put("")
			reached := make(chan bool, 1)
			go func() {
				select {
				case <-dead:
					stop()
					close(died)
					reached <- true
				case <-t.Context().Done():
				}
			}()
			waittest.Until(t, func() bool {
				s, err := w.Status(t.Context(), b.projectID, provider.Clerk, false)
				require.NoError(t, err)
				return len(reached) > 0 || s.State == provision.Ready
			})
			b.start(t, b.config())
			s := b.clerkReaches(t, w, provision.Ready)
			require.True(t, s.Made)
			require.Len(t, server.Svix.All(), 1)
		})
	}
}
