package userapitest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func cancelled(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	left := errors.New("the worker stops")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(left)
	_, err := source.Page(ctx, "")
	require.ErrorIs(t, err, left)
	_, err = source.User(ctx, c.ID(1))
	require.ErrorIs(t, err, left)
	if c.Server == nil {
		return
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	c.Server.Begun = func(*http.Request) { cancel(left) } // while a request is under way
	c.Server.Fail(demoprovider.Fault{Stall: true})
	_, err = source.Page(ctx, "")
	require.ErrorIs(t, err, left)
}

func refusedCredentials(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	cursor := c.inTheMiddle(t, source)
	c.Reject()
	_, running := source.User(t.Context(), c.ID(3))
	_, page := c.open(t).Page(t.Context(), cursor)
	_, user := c.open(t).User(t.Context(), c.ID(3))
	_, begin := c.open(t).Page(t.Context(), "")
	refused := map[string]error{"running": running, "page": page, "user": user, "begin": begin}
	if !c.Uncounted {
		_, _, refused["count"] = c.open(t).Count(t.Context())
	}
	for name, err := range refused {
		require.True(t, fault.Is(err, fault.CredentialsRefused), "%s: %v", name, err)
		require.ErrorContains(t, err, c.Credential, name)
		c.safe(t, err)
	}
}

// inTheMiddle walks until users were read and returns the cursor behind them.
func (c *Case) inTheMiddle(t *testing.T, source userapi.Source) string {
	t.Helper()
	cursor := ""
	for range 100 {
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		require.NotEmpty(t, page.Next)
		c.Clock.Advance(page.Wait)
		cursor = page.Next
		if len(page.Users) > 0 {
			return cursor
		}
	}
	require.FailNow(t, "no users are read")
	return ""
}

func passingTrouble(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	pages := 0
	c.Server.Fail(demoprovider.Fault{Status: 503}, demoprovider.Fault{Status: 500, Body: "oops"})
	ids := c.Walk(t, "", func() userapi.Source { return source }, func(userapi.Page) {
		if pages++; pages == 1 {
			c.Server.Fail(demoprovider.Fault{Path: c.Pages, Cut: true}, demoprovider.Fault{Path: c.Pages, Status: 408}, demoprovider.Fault{Path: c.Pages, Status: 502})
		}
	})
	require.Equal(t, c.Want(), sorted(ids))
	require.Positive(t, c.Clock.Slept(), "retries are spaced")
}

// untilError walks until there is an error, which must come before the end.
func (c *Case) untilError(t *testing.T, source userapi.Source, cursor string) error {
	t.Helper()
	for range 100 {
		page, err := source.Page(t.Context(), cursor)
		if err != nil {
			return err
		}
		require.NotEmpty(t, page.Next, "trouble was taken for the end")
		cursor = page.Next
	}
	require.FailNow(t, "no error")
	return nil
}

// lastingTrouble begins with a source that has to ask the server again.
func lastingTrouble(t *testing.T, c *Case) {
	t.Helper()
	cursor := c.inTheMiddle(t, c.open(t))
	for _, answer := range []demoprovider.Fault{
		{Path: c.Pages, Status: 500, Body: strings.Join(c.Secrets, " ")},
		{Path: c.Pages, Status: 503},
		{Path: c.Pages, Cut: true},
		{Path: c.Pages, Status: 200, Body: ""},
	} {
		c.Server.Fail(slices.Repeat([]demoprovider.Fault{answer}, 50)...)
		err := c.untilError(t, c.open(t), cursor)
		require.True(t, fault.Is(err, fault.ProviderUnavailable), "%+v: %v", answer, err)
		c.safe(t, err)
		c.Server.Heal()
	}
	for _, answer := range []demoprovider.Fault{
		{Path: c.Pages, Status: 418},
		{Path: c.Pages, Status: 200, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}},
	} {
		c.Server.Fail(slices.Repeat([]demoprovider.Fault{answer}, 50)...)
		_, err := c.open(t).Page(t.Context(), cursor)
		require.True(t, fault.Is(err, fault.ProviderError), "%+v: %v", answer, err)
		c.safe(t, err)
		c.Server.Heal()
	}
}

func askedPauses(t *testing.T, c *Case) {
	t.Helper()
	cursor := c.inTheMiddle(t, c.open(t))
	for name, header := range map[string]func(at time.Time) (string, string){
		"seconds": func(time.Time) (string, string) { return "Retry-After", "3" },
		"date": func(at time.Time) (string, string) {
			return "Retry-After", at.Add(3 * time.Second).Format(http.TimeFormat)
		},
		"own": func(time.Time) (string, string) { return "X-Retry-After", "3" },
		"reset": func(at time.Time) (string, string) {
			return "X-RateLimit-Reset", strconv.FormatInt(at.Add(3*time.Second).Unix(), 10)
		},
	} {
		source := c.open(t)
		key, value := header(c.Clock.Now())
		before := c.Clock.Now()
		c.Server.Fail(demoprovider.Fault{Path: c.Pages, Status: 429, Header: http.Header{http.CanonicalHeaderKey(key): {value}}})
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err, name)
		require.NotEmpty(t, page.Users, name)
		require.GreaterOrEqual(t, c.Clock.Now().Sub(before), 2*time.Second, name)
		require.Less(t, c.Clock.Now().Sub(before), 6*time.Second, name)
	}
}

func longPauses(t *testing.T, c *Case) {
	t.Helper()
	cursor := c.inTheMiddle(t, c.open(t))
	for _, header := range []http.Header{{"Retry-After": {"90"}}, {"X-Ratelimit-Remaining": {"0"}}} {
		if header.Get("Retry-After") == "" {
			header.Set("X-RateLimit-Reset", strconv.FormatInt(c.Clock.Now().Add(90*time.Second).Unix(), 10))
		}
		source := c.open(t)
		before := c.Clock.Slept()
		c.Server.Fail(demoprovider.Fault{Path: c.Pages, Status: 429, Header: header})
		requests := c.Server.Requests(c.Pages)
		_, err := source.Page(t.Context(), cursor)
		var limited *userapi.RateLimitError
		require.ErrorAs(t, err, &limited, "%v", header)
		require.InDelta(t, 90, limited.After.Seconds(), 3)
		require.Less(t, c.Clock.Slept()-before, 5*time.Second)

		_, err = source.Page(t.Context(), cursor)
		require.ErrorAs(t, err, &limited, "the pause lasts")
		require.Equal(t, requests+1, c.Server.Requests(c.Pages), "nothing is sent during the pause")

		c.Clock.Advance(limited.After)
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		require.NotEmpty(t, page.Users)
	}
	c.Server.Fail(slices.Repeat([]demoprovider.Fault{{Path: c.Pages, Status: 429}}, 20)...)
	_, err := c.open(t).Page(t.Context(), cursor)
	var limited *userapi.RateLimitError
	require.ErrorAs(t, err, &limited, "a 429 that asks for nothing")
	require.Positive(t, limited.After)
}

func slowBody(t *testing.T, c *Case) {
	t.Helper()
	cursor := c.inTheMiddle(t, c.open(t))
	deps := c.Clock.Deps()
	deps.Timeout = 50 * time.Millisecond
	c.Server.Fail(slices.Repeat([]demoprovider.Fault{{Path: c.Pages, Stall: true}}, 50)...)
	err := c.untilError(t, c.with(t, deps), cursor)
	require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
}

func redirect(t *testing.T, c *Case) {
	t.Helper()
	cursor := c.inTheMiddle(t, c.open(t))
	elsewhere := false
	other := Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere = true }))
	c.Server.Fail(demoprovider.Fault{Path: c.Pages, Status: 307, Header: http.Header{"Location": {other + "/users"}}})
	_, err := c.open(t).Page(t.Context(), cursor)
	require.True(t, fault.Is(err, fault.ProviderError), err)
	require.ErrorContains(t, err, "redirects to another address")
	require.False(t, elsewhere)
}

func strangersNotFound(t *testing.T, c *Case) {
	t.Helper()
	for _, body := range []string{"", "404 page not found", `{"message":"no route"}`, "<html>"} {
		c.Server.Fail(demoprovider.Fault{Path: c.User, Status: 404, Body: body})
		_, err := c.open(t).User(t.Context(), c.ID(3))
		require.Error(t, err)
		require.NotErrorIs(t, err, userapi.ErrGone, body)
	}
}
