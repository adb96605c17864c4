package userapitest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// WebhookCase is a provider account at which a webhook is set up.
type WebhookCase struct {
	Clock  *Clock
	Server *demoprovider.Server
	// Open makes a Webhooks for the account, as another process would.
	Open func(d userapi.Deps) userapi.Webhooks
	Want userapi.WantedWebhook
	// Path is part of the paths of the calls that read, create and change webhooks; Create of the creating
	// one alone, if its path is another.
	Path, Create string
	// Add adds a webhook of a person's, and returns its id.
	Add func(url string) string
	// All is what there is, by id, with everything a person would notice a change of.
	All func() map[string]string
	// Disable disables a webhook, and Narrow lets it send one event type only.
	Disable, Narrow func(id string)
	// Reject lets the provider refuse the credentials, and Credential is what the error must name.
	Reject     func()
	Credential string
	// Secrets must not appear in any error.
	Secrets []string
	// OwnOnly: a webhook of a person's is left alone even if it goes to the wanted URL.
	OwnOnly bool
	// Surprise is the code of an error about an answer that is not as expected; empty: fault.ProviderError.
	Surprise fault.Code
}

func (c *WebhookCase) surprise() fault.Code {
	if c.Surprise == "" {
		return fault.ProviderError
	}
	return c.Surprise
}

// WebhookConformance checks what every Webhooks promises.
func WebhookConformance(t *testing.T, setup func(tb testing.TB) *WebhookCase) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, *WebhookCase){
		"OneIsCreatedAndFound":                 oneIsCreated,
		"TheSecondCallCreatesNoOther":          secondCall,
		"ALostAnswerLeavesOne":                 lostAnswer,
		"ADeadProcessLeavesOne":                deadProcess,
		"ManyAtOnceCreateOne":                  manyAtOnce,
		"OneThatGoesThereIsAdopted":            adopted,
		"OthersAreLeftAlone":                   othersStay,
		"OneOfPeoplesThatNowGoesElsewhereStay": repointed,
		"ANewURLIsFollowed":                    newURL,
		"DifferencesAreSaidAndRepaired":        differences,
		"RemovingTwiceIsFine":                  removed,
		"PassingTroubleIsWaitedOut":            passingWebhookTrouble,
		"LastingTroubleIsAnError":              lastingWebhookTrouble,
		"HugeAnswersAreRefused":                hugeAnswer,
		"HungAnswersEnd":                       hungAnswer,
		"RefusedCredentialsAreNamed":           refusedWebhookCredentials,
		"CancelledContextEndsTheCall":          cancelledWebhooks,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, setup(t))
		})
	}
}

func (c *WebhookCase) open() userapi.Webhooks { return c.Open(c.Clock.Deps()) }

func (c *WebhookCase) ensure(t *testing.T) userapi.Webhook {
	t.Helper()
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotEmpty(t, made.ID)
	return made
}

// good requires that the webhook is what it should be.
func (c *WebhookCase) good(t *testing.T, id string) {
	t.Helper()
	found, err := c.open().Find(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotNil(t, found)
	require.Equal(t, id, found.ID)
	require.Empty(t, c.open().Differences(found, c.Want))
}

func (c *WebhookCase) safe(t *testing.T, err error) {
	t.Helper()
	for _, secret := range c.Secrets {
		require.NotContains(t, err.Error(), secret)
	}
}

func oneIsCreated(t *testing.T, c *WebhookCase) {
	t.Helper()
	none, err := c.open().Find(t.Context(), c.Want)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Contains(t, strings.Join(c.open().Differences(none, c.Want), ""), "is not there")
	made := c.ensure(t)
	require.True(t, made.Made)
	c.good(t, made.ID)
	require.Len(t, c.All(), 1)
	missing, err := c.open().MissingPermissions(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)
}

func secondCall(t *testing.T, c *WebhookCase) {
	t.Helper()
	first := c.ensure(t)
	before := c.All()
	c.Want.ID, c.Want.Made = first.ID, true
	second := c.ensure(t)
	require.Equal(t, first.ID, second.ID)
	require.True(t, second.Made)
	require.Equal(t, before, c.All())
}

func (c *WebhookCase) createPath() string {
	if c.Create != "" {
		return c.Create
	}
	return c.Path
}

// lostAnswer: the webhook is created, and the answer does not arrive. The call asks again.
func lostAnswer(t *testing.T, c *WebhookCase) {
	t.Helper()
	c.Server.Fail(demoprovider.Fault{Method: http.MethodPost, Path: c.createPath(), Cut: true})
	made := c.ensure(t)
	require.True(t, made.Made)
	require.Len(t, c.All(), 1)
	c.good(t, made.ID)
}

// deadProcess: the webhook is created, and the process dies before it knows.
func deadProcess(t *testing.T, c *WebhookCase) {
	t.Helper()
	ctx, die := context.WithCancelCause(t.Context())
	c.Server.Answered = func(r *http.Request) {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, c.createPath()) && len(c.All()) == 1 {
			die(errors.New("killed"))
		}
	}
	_, err := c.open().Ensure(ctx, c.Want)
	require.Error(t, err)
	c.Server.Answered = nil
	require.Len(t, c.All(), 1, "it was created")
	made := c.ensure(t)
	require.True(t, made.Made, "it is known as authsync's, so that it can be removed")
	require.Len(t, c.All(), 1)
	c.good(t, made.ID)
}

func manyAtOnce(t *testing.T, c *WebhookCase) {
	t.Helper()
	var group errgroup.Group
	for range 5 {
		group.Go(func() error {
			_, err := c.open().Ensure(t.Context(), c.Want)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Len(t, c.All(), 1)
}

func adopted(t *testing.T, c *WebhookCase) {
	t.Helper()
	id := c.Add(c.Want.URL)
	c.Disable(id)
	c.Narrow(id)
	before := c.All()[id]
	got := c.ensure(t)
	if c.OwnOnly {
		require.NotEqual(t, id, got.ID)
		require.Equal(t, before, c.All()[id])
		return
	}
	require.Equal(t, id, got.ID)
	require.False(t, got.Made)
	require.Len(t, c.All(), 1)
	c.good(t, id)
}

func othersStay(t *testing.T, c *WebhookCase) {
	t.Helper()
	c.Add("https://elsewhere.example.com/hook")
	c.Add(c.Want.URL + "/more")
	c.Add(strings.Replace(c.Want.URL, "https://", "https://other.", 1))
	before := c.All()
	made := c.ensure(t)
	require.NoError(t, c.open().Remove(t.Context(), made.ID))
	require.Equal(t, before, c.All())
}

// repointed: a person's webhook that was adopted goes elsewhere now.
func repointed(t *testing.T, c *WebhookCase) {
	t.Helper()
	other := c.Add("https://elsewhere.example.com/hook")
	before := c.All()[other]
	c.Want.ID = other
	made := c.ensure(t)
	require.NotEqual(t, other, made.ID)
	require.Equal(t, before, c.All()[other])
}

func newURL(t *testing.T, c *WebhookCase) {
	t.Helper()
	made := c.ensure(t)
	c.Want.ID, c.Want.Made = made.ID, true
	c.Want.URL = strings.Replace(c.Want.URL, "https://", "https://new.", 1)
	found, err := c.open().Find(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotNil(t, found)
	require.Contains(t, strings.Join(c.open().Differences(found, c.Want), ""), "another URL")
	require.Equal(t, made.ID, c.ensure(t).ID)
	c.good(t, made.ID)
	require.Len(t, c.All(), 1)
}

func differences(t *testing.T, c *WebhookCase) {
	t.Helper()
	made := c.ensure(t)
	c.Disable(made.ID)
	c.Narrow(made.ID)
	found, err := c.open().Find(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotNil(t, found)
	said := strings.Join(c.open().Differences(found, c.Want), "; ")
	require.Contains(t, said, "is disabled")
	require.Contains(t, said, "does not send ")
	c.ensure(t)
	c.good(t, made.ID)
}

func removed(t *testing.T, c *WebhookCase) {
	t.Helper()
	made := c.ensure(t)
	require.NoError(t, c.open().Remove(t.Context(), made.ID))
	require.Empty(t, c.All())
	require.NoError(t, c.open().Remove(t.Context(), made.ID))
}

func passingWebhookTrouble(t *testing.T, c *WebhookCase) {
	t.Helper()
	c.Server.Fail(
		demoprovider.Fault{Path: c.Path, Status: 503}, demoprovider.Fault{Path: c.Path, Status: 500, Body: strings.Join(c.Secrets, " ")},
		demoprovider.Fault{Path: c.Path, Status: 429, Header: http.Header{"Retry-After": {"2"}}}, demoprovider.Fault{Path: c.Path, Cut: true},
	)
	made := c.ensure(t)
	require.Len(t, c.All(), 1)
	c.good(t, made.ID)
	require.Positive(t, c.Clock.Slept())
}

func lastingWebhookTrouble(t *testing.T, c *WebhookCase) {
	t.Helper()
	for _, answer := range []struct {
		demoprovider.Fault

		code fault.Code
	}{
		{demoprovider.Fault{Path: c.Path, Status: 500, Body: strings.Join(c.Secrets, " ")}, fault.ProviderUnavailable},
		{demoprovider.Fault{Path: c.Path, Status: 200, Body: ""}, fault.ProviderUnavailable},
		{demoprovider.Fault{Path: c.Path, Status: 418, Body: strings.Join(c.Secrets, " ")}, c.surprise()},
		{demoprovider.Fault{Path: c.Path, Status: 307, Header: http.Header{"Location": {"https://elsewhere.example.com"}}}, c.surprise()},
		{demoprovider.Fault{Path: c.Path, Status: 200, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}}, c.surprise()},
		{demoprovider.Fault{Path: c.Path, Status: 429, Header: http.Header{"Retry-After": {"90"}}}, fault.ProviderUnavailable},
	} {
		c.Server.Fail(slices.Repeat([]demoprovider.Fault{answer.Fault}, 100)...)
		_, err := c.open().Ensure(t.Context(), c.Want)
		require.True(t, fault.Is(err, answer.code), "%+v: %v", answer.Fault, err)
		c.safe(t, err)
		c.Server.Heal()
		c.Clock.Advance(2 * time.Minute)
	}
	require.Empty(t, c.All())
}

func hugeAnswer(t *testing.T, c *WebhookCase) {
	t.Helper()
	huge := `[` + strings.Repeat(`"`+strings.Repeat("x", 1000)+`",`, 6000) + `""]`
	c.Server.Fail(demoprovider.Fault{Path: c.Path, Status: 200, Body: huge})
	_, err := c.open().Find(t.Context(), c.Want)
	require.True(t, fault.Is(err, c.surprise()), err)
	require.ErrorContains(t, err, "longer than")
}

func hungAnswer(t *testing.T, c *WebhookCase) {
	t.Helper()
	c.ensure(t)
	deps := c.Clock.Deps()
	deps.Timeout = 50 * time.Millisecond
	c.Server.Fail(slices.Repeat([]demoprovider.Fault{{Path: c.Path, Stall: true}}, 50)...)
	_, err := c.Open(deps).Find(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
}

func refusedWebhookCredentials(t *testing.T, c *WebhookCase) {
	t.Helper()
	c.Reject()
	_, find := c.open().Find(t.Context(), c.Want)
	_, ensure := c.open().Ensure(t.Context(), c.Want)
	_, test := c.open().SendTest(t.Context(), "some")
	remove := c.open().Remove(t.Context(), "some")
	for name, err := range map[string]error{"find": find, "ensure": ensure, "test": test, "remove": remove} {
		require.True(t, fault.Is(err, fault.CredentialsRefused), "%s: %v", name, err)
		require.ErrorContains(t, err, c.Credential, name)
		c.safe(t, err)
	}
}

func cancelledWebhooks(t *testing.T, c *WebhookCase) {
	t.Helper()
	left := errors.New("the worker stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(left)
	_, err := c.open().Ensure(ctx, c.Want)
	require.ErrorIs(t, err, left)
	require.ErrorIs(t, c.open().Remove(ctx, "some"), left)
	require.Empty(t, c.All())
}
