package clerk_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

const (
	shopProject = "0b0c7a52-91f3-4f4e-a8a1-1f6f5d6a7b10"
	receiverURL = "https://sync.example.com/api/capydb/v1/integrations/clerk/webhook/" + shopProject
)

// instance is a Clerk instance, whose Svix application does not exist yet.
type instance struct {
	*userapitest.WebhookCase

	server      *demoprovider.Clerk
	credentials provider.Credentials
	options     provider.Options
}

func newInstance(tb testing.TB) *instance {
	tb.Helper()
	clock := userapitest.NewClock()
	server := demoprovider.NewClerk(demoprovider.NewAccount(3), clock.Now)
	c := &instance{server: server, credentials: provider.Credentials{SecretKey: demoprovider.ClerkKey}}
	c.options.BaseURL = userapitest.Start(tb, server)
	added := 0
	c.WebhookCase = &userapitest.WebhookCase{
		Clock: clock, Server: &server.Server, Path: "/endpoint", OwnOnly: true, Surprise: fault.Unsupported,
		Want: userapi.WantedWebhook{Key: "authsync " + shopProject, URL: receiverURL},
		Open: func(d userapi.Deps) userapi.Webhooks {
			w, err := clerk.New().NewWebhooks(c.credentials, c.options, d)
			require.NoError(tb, err)
			return w
		},
		Add: func(url string) string {
			added++
			id := fmt.Sprintf("ep_theirs%d", added)
			server.Svix.Add(demoprovider.SvixEndpoint{ID: id, UID: "", URL: url, Secret: "whsec_dGhlaXJzLW9mLXRoaXMtdGVzdC1hbG9uZQ==", Types: []string{"user.created"}})
			return id
		},
		All: func() map[string]string {
			all := map[string]string{}
			for _, one := range server.Svix.All() {
				all[one.ID] = fmt.Sprint(one)
			}
			return all
		},
		Disable: func(id string) {
			server.Svix.Change(id, func(one *demoprovider.SvixEndpoint) { one.Disabled = true })
		},
		Narrow: func(id string) {
			server.Svix.Change(id, func(one *demoprovider.SvixEndpoint) { one.Types = []string{"user.created"} })
		},
		Reject:     func() { server.Key = "sk_test_YW5vdGhlcg" },
		Credential: "credentials.secret_key",
		Secrets:    []string{demoprovider.ClerkKey, "ott_", "appsk_"},
	}
	return c
}

func (c *instance) open() userapi.Webhooks { return c.Open(c.Clock.Deps()) }

func TestWebhooks(t *testing.T) {
	t.Parallel()
	userapitest.WebhookConformance(t, func(tb testing.TB) *userapitest.WebhookCase {
		tb.Helper()
		return newInstance(tb).WebhookCase
	})
}

func TestEndpointSendsExactlyWhatIsMirrored(t *testing.T) {
	t.Parallel()
	for n, groups := range map[int][]string{3: {"users"}, 12: nil, 8: {"users", "sessions"}, 17: {"users", "organizations", "sessions"}} {
		c := newInstance(t)
		c.options.RecordTypes = groups
		_, err := c.open().Ensure(t.Context(), c.Want)
		require.NoError(t, err)
		one := c.server.Svix.All()[0]
		require.Len(t, one.Types, n, "%v", groups)
		require.Equal(t, "authsync-"+shopProject, one.UID)
		for _, name := range one.Types {
			events := clerk.New().Decode(provider.Message{MessageID: "msg_1", Body: fmt.Appendf(nil, `{"type":%q,"data":{},"timestamp":1}`, name)}, c.options)
			require.NotContains(t, events[0].Reason, "not mirrored", name)
		}
	}
}

func TestTheApplicationIsCreatedOnce(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	missing, err := c.open().MissingPermissions(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)
	require.True(t, c.server.Svix.HasApp)
	require.Equal(t, 1, c.server.Requests("/webhooks/svix_url"))

	// Another process creates it between the two calls.
	c = newInstance(t)
	c.server.Fail(demoprovider.Fault{Path: "/webhooks/svix_url", Status: 400, Body: `{"errors":[{"code":"svix_app_missing"}]}`})
	c.server.Svix.HasApp = true
	_, err = c.open().MissingPermissions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, c.server.Requests("/webhooks/svix_url"))
}

func TestATokenThatExpiredIsReplaced(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	w := c.open()
	_, err := w.Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.Equal(t, 1, c.server.Requests("one-time-token"), "calls share a token")
	c.server.Svix.Expire()
	found, err := w.Find(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotNil(t, found)
	require.Equal(t, 2, c.server.Requests("one-time-token"))

	c.server.Fail(slices.Repeat([]demoprovider.Fault{{Path: "/endpoint", Status: 401}}, 10)...)
	_, err = w.Find(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.Equal(t, 7, c.server.Requests("/endpoint"), "it is not tried for ever")
}

func link(text string) string { return "#key=" + base64.RawURLEncoding.EncodeToString([]byte(text)) }

// Clerk's key and Svix's token go to no host but those of Clerk and Svix.
func TestSurprisesLeadToSettingItUpByHand(t *testing.T) {
	t.Parallel()
	good := `{"appId":"app_1","oneTimeToken":"ott_s3cr3t","region":"eu"}`
	for name, one := range map[string]string{
		"AnotherHost":      "https://app.svix.com.evil.example.com/login" + link(good),
		"AnotherSubdomain": "https://evil.svix.com/login" + link(good),
		"NoHTTPS":          "http://app.svix.com/login" + link(good),
		"UserInfo":         "https://app.svix.com@evil.example.com/login" + link(good),
		"NoKey":            "https://app.svix.com/login",
		"NoJSON":           "https://app.svix.com/login" + link("tea"),
		"NoToken":          "https://app.svix.com/login" + link(`{"appId":"app_1","region":"eu"}`),
		"RegionIsAHost":    "https://app.svix.com/login" + link(`{"appId":"app_1","oneTimeToken":"ott_s3cr3t","region":"eu.evil.example.com/"}`),
		"RegionIsEmpty":    "https://app.svix.com/login" + link(`{"appId":"app_1","oneTimeToken":"ott_s3cr3t","region":""}`),
		"RegionTooLong":    "https://app.svix.com/login" + link(`{"appId":"app_1","oneTimeToken":"ott_s3cr3t","region":"evil"}`),
		"AppIsAPath":       "https://app.svix.com/login" + link(`{"appId":"app_1/../x","oneTimeToken":"ott_s3cr3t","region":"eu"}`),
		"Garbage":          "%%%",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newInstance(t)
			c.server.Svix.HasApp, c.server.Svix.Link = true, one
			_, err := c.open().Ensure(t.Context(), c.Want)
			require.True(t, fault.Is(err, fault.Unsupported), err)
			require.ErrorContains(t, err, "By hand: Clerk dashboard, Configure, Webhooks, Add Endpoint")
			require.NotContains(t, err.Error(), "ott_s3cr3t")
			require.Zero(t, c.server.Requests("/api/"))
		})
	}
	for name, answer := range map[string]demoprovider.Fault{
		"UsedToken":   {Path: "one-time-token", Status: 401, Body: `{"code":"invalid_token"}`},
		"NoSuchCall":  {Path: "one-time-token", Status: 404},
		"NoToken":     {Path: "one-time-token", Status: 200, Body: `{"access":"x"}`},
		"NoLink":      {Path: "svix_url", Status: 200, Body: `{"url":"x"}`},
		"OtherCode":   {Path: "svix_url", Status: 422, Body: `{"errors":[{"code":"svix_app_create_error"}]}`},
		"NoList":      {Path: "/endpoint", Status: 200, Body: `{"endpoints":[]}`},
		"WrongRegion": {Path: "/endpoint", Status: 404, Body: `{"code":"not_found"}`},
		"NoSecret":    {Path: "/secret", Status: 200, Body: `{"secret":"whsec_x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newInstance(t)
			c.server.Svix.HasApp = true
			c.server.Fail(slices.Repeat([]demoprovider.Fault{answer}, 20)...)
			_, err := c.open().Ensure(t.Context(), c.Want)
			require.True(t, fault.Is(err, fault.Unsupported), err)
			require.ErrorContains(t, err, "By hand")
			require.NotContains(t, err.Error(), "whsec_x")
		})
	}
}

func TestTheSigningSecretIsReadAndRotated(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.Equal(t, c.server.Svix.All()[0].Secret, string(made.Secret))

	// It is stored: nothing changes. A newer one is stored before it: the endpoint gets that.
	c.credentials.WebhookSigningSecret = provider.Secrets{made.Secret}
	_, err = c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.Zero(t, c.server.Requests("/rotate"))
	newer := provider.NewSigningSecret(provider.Clerk)
	c.credentials.WebhookSigningSecret = provider.Secrets{newer, made.Secret}
	got, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.Equal(t, newer, got.Secret)
	require.Equal(t, string(newer), c.server.Svix.All()[0].Secret)

	// A person rotated it at Clerk: that one is taken over.
	const theirs = "whsec_cm90YXRlZC1ieS1hLXBlcnNvbi1hdC1DbGVyaw=="
	c.server.Svix.Change(got.ID, func(one *demoprovider.SvixEndpoint) { one.Secret = theirs })
	got, err = c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.Equal(t, provider.Secret(theirs), got.Secret)
	require.Equal(t, theirs, c.server.Svix.All()[0].Secret)
}

func TestTheExampleArrivesSigned(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	arrived := make(chan error, 1)
	var secret provider.Secret
	c.server.Svix.To = userapitest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		verifier, err := clerk.New().NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{secret}}, provider.Options{})
		if err == nil {
			_, err = verifier.Verify(r.Header, body, time.Now())
		}
		arrived <- err
	}))
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	secret = made.Secret
	id, err := c.open().SendTest(t.Context(), made.ID)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(id, "msg_"))
	require.NoError(t, <-arrived)
	c.server.Svix.Posted()
	require.Contains(t, c.open().TestFailure(t.Context(), made.ID, id), "200")
	require.Empty(t, c.open().TestFailure(t.Context(), made.ID, "msg_other"))
}

func TestAnEndpointOfOurUIDThatGoesElsewhereIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := newInstance(t)
	c.server.Svix.Add(demoprovider.SvixEndpoint{ID: "ep_staging", UID: "authsync-" + shopProject, URL: "https://staging.example.com/hook?x=secret", Secret: "whsec_x"})
	before := c.All()
	_, err := c.open().Ensure(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, "staging.example.com/hook")
	require.NotContains(t, err.Error(), "x=secret")
	require.Equal(t, before, c.All())
}

func TestWebhooksNeedASecretKey(t *testing.T) {
	t.Parallel()
	_, err := clerk.New().NewWebhooks(provider.Credentials{}, provider.Options{}, userapi.Deps{})
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, "credentials.secret_key")
}
