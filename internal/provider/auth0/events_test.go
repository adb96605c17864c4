package auth0_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// sink keeps what is pulled.
type sink struct {
	mu        sync.Mutex
	bodies    []string
	cursor    string
	batches   int
	connected int
	fail      error
}

func (s *sink) Connected(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected++
	return nil
}

func (s *sink) Take(_ context.Context, b userapi.EventBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.batches++
	for _, body := range b.Bodies {
		s.bodies = append(s.bodies, string(body))
	}
	if b.Cursor != "" {
		s.cursor = b.Cursor
	}
	return nil
}

func (s *sink) at() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// followed is an Auth0 whose events can be pulled, and a source of them.
func followed(tb testing.TB) (*demoprovider.Auth0, userapi.EventSource) {
	tb.Helper()
	clock := userapitest.NewClock()
	server := demoprovider.NewAuth0(demoprovider.NewAccount(0), clock.Now)
	server.Scope = demoprovider.Auth0EventScope
	base := userapitest.Start(tb, server)
	tb.Cleanup(server.Events.End)
	return server, eventsAt(tb, base, clock.Deps())
}

func eventsAt(tb testing.TB, base string, d userapi.Deps) userapi.EventSource {
	tb.Helper()
	source, err := auth0.New().NewEventSource(credentials(), provider.Options{BaseURL: base, Pull: true}, d)
	require.NoError(tb, err)
	require.Equal(tb, base, source.Origin())
	return source
}

type ending struct {
	pause time.Duration
	err   error
}

// follow follows in the background.
func follow(tb testing.TB, source userapi.EventSource, from userapi.Position, to *sink) <-chan ending {
	tb.Helper()
	ended := make(chan ending, 1)
	ctx := waittest.Context(tb)
	go func() {
		pause, err := source.Follow(ctx, from, to)
		ended <- ending{pause, err}
	}()
	return ended
}

// since is before all events of these tests.
func since() userapi.Position { return userapi.Position{Since: began().Add(-48 * 24 * time.Hour)} }

func TestEventsAreFollowedAcrossConnections(t *testing.T) {
	t.Parallel()
	server, source := followed(t)
	server.Events.Publish(server.Now(), event(1), event(2))
	var to sink
	from := since()
	for n := 3; n < 6; n++ {
		ended := follow(t, source, from, &to)
		server.Events.Publish(server.Now(), event(n))
		want := demoprovider.Auth0Offset(n)
		waittest.Until(t, func() bool { return to.at() == want })
		server.Events.Recycle("")
		end := waittest.Receive(t, ended)
		require.NoError(t, end.err, "Auth0 recycles connections")
		require.Equal(t, 2*time.Second, end.pause, "as the stream asks")
		from.Cursor = to.at()
	}
	var want []string
	for n := 1; n < 6; n++ {
		want = append(want, string(event(n)))
	}
	require.Equal(t, want, to.bodies, "each once, byte by byte")
	require.Equal(t, []string{"2026-03-16T10:00:00Z", demoprovider.Auth0Offset(3), demoprovider.Auth0Offset(4)}, server.Events.Opened())
	require.Equal(t, 1, server.Requests("/oauth/token"), "tokens are few: one is good for a day")
	require.Equal(t, 3, to.connected)
}

func TestOffsetOnlyMovesTheCursor(t *testing.T) {
	t.Parallel()
	server, source := followed(t)
	var to sink
	follow(t, source, since(), &to)
	server.Events.Advance(server.Now())
	waittest.Until(t, func() bool { return to.at() == demoprovider.Auth0Offset(1) })
	require.Empty(t, to.bodies)
}

func TestBacklogIsTakenInBatches(t *testing.T) {
	t.Parallel()
	server, source := followed(t)
	for n := range 2000 {
		server.Events.Publish(server.Now(), event(n))
	}
	var to sink
	follow(t, source, since(), &to)
	waittest.Until(t, func() bool { return to.at() == demoprovider.Auth0Offset(2000) })
	require.Len(t, to.bodies, 2000)
}

func TestFailedTakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	server, source := followed(t)
	server.Events.Publish(server.Now(), event(1))
	to := sink{fail: errors.New("the database is away")}
	require.ErrorIs(t, waittest.Receive(t, follow(t, source, since(), &to)).err, to.fail)
}

func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	cursor := userapi.Position{Cursor: demoprovider.Auth0Offset(1)}
	refused := func(code fault.Code, words string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			require.True(t, fault.Is(err, code), "%v", err)
			require.ErrorContains(t, err, words)
		}
	}
	lost := func(words, cursor string) func(*testing.T, error) {
		return func(t *testing.T, err error) {
			t.Helper()
			gap, is := errors.AsType[*userapi.LostError](err)
			require.True(t, is, "%v", err)
			require.Contains(t, gap.Reason, words)
			require.Equal(t, cursor, gap.Cursor)
		}
	}
	for name, c := range map[string]struct {
		prepare func(*demoprovider.Auth0)
		from    userapi.Position
		check   func(*testing.T, error)
	}{
		"ExpiredCursor": {func(a *demoprovider.Auth0) { a.Events.Expire() }, userapi.Position{Cursor: demoprovider.Auth0Offset(0)}, lost("(410)", "")},
		"UnknownCursor": {func(*demoprovider.Auth0) {}, userapi.Position{Cursor: "of another tenant"}, lost("(400)", "")},
		"BadRequestOtherwise": {func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/events", Status: 400, Body: `{"message":"no"}`})
		}, since(), refused(fault.ProviderError, "400. Auth0 says: no")},
		"NoPermission": {func(a *demoprovider.Auth0) { a.Scope = "read:users" }, cursor, refused(fault.CredentialsRefused, "lacks the permission read:events")},
		"NoPermissionByTheToken": {func(a *demoprovider.Auth0) {
			a.Scope = "read:users"
			a.Fail(demoprovider.Fault{Path: "/events", Status: 403, Body: `{"message":"Forbidden"}`})
		}, cursor, refused(fault.CredentialsRefused, "lacks the permission read:events")},
		"TooManyConnections": {func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/events", Status: 403, Body: `{"message":"Too many"}`})
		}, cursor, refused(fault.ProviderUnavailable, "all connections of the tenant's plan are in use")},
		"NoEventsAPI": {func(a *demoprovider.Auth0) { a.Fail(demoprovider.Fault{Path: "/events", Status: 404}) }, cursor, refused(fault.ProviderError, "its plan may lack it")},
		"WrongSecret": {func(a *demoprovider.Auth0) { a.Secret = "another" }, cursor, refused(fault.CredentialsRefused, "credentials.client_secret")},
		"WebPage": {func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/events", Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"})
		}, cursor, refused(fault.ProviderError, "no stream of events")},
		"Compressed": {func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/events", Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}})
		}, cursor, refused(fault.ProviderError, "compressed")},
		"Down": {func(a *demoprovider.Auth0) {
			for range 9 {
				a.Fail(demoprovider.Fault{Path: "/events", Status: 502})
			}
		}, cursor, refused(fault.ProviderUnavailable, "502")},
		"RateLimited": {func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/events", Status: 429, Header: http.Header{"Retry-After": {"120"}}})
		}, cursor, func(t *testing.T, err error) {
			t.Helper()
			limit, is := errors.AsType[*userapi.RateLimitError](err)
			require.True(t, is, "%v", err)
			require.GreaterOrEqual(t, limit.After, 2*time.Minute)
		}},
		"InvalidCursorInTheStream":  {telling(demoprovider.Auth0StreamError("invalid_cursor", "")), cursor, lost("invalid_cursor", "")},
		"ExpiredCursorInTheStream":  {telling(demoprovider.Auth0StreamError("cursor_expired", "")), cursor, lost("cursor_expired", "")},
		"TooLargePayload":           {telling(demoprovider.Auth0StreamError("payload_too_large", "ofs_7")), cursor, lost("too large", "ofs_7")},
		"Timeout":                   {telling(demoprovider.Auth0StreamError("connection_timeout", "")), cursor, func(t *testing.T, err error) { t.Helper(); require.NoError(t, err) }},
		"ProcessingError":           {telling(demoprovider.Auth0StreamError("processing_error", "")), cursor, refused(fault.ProviderUnavailable, "processing_error")},
		"ErrorThatCannotBeRead":     {telling("event: error\ndata: oops\n\n"), cursor, refused(fault.ProviderUnavailable, "cannot be read")},
		"OffsetThatNoHeaderCarries": {telling("event: offset-only\ndata: {\"offset\":\"a\\nb\"}\n\n"), cursor, refused(fault.ProviderError, "offset that is none")},
		"LongOffset":                {telling("id: " + strings.Repeat("x", 1025) + "\n\n"), cursor, refused(fault.ProviderError, "offset that is none")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, source := followed(t)
			server.Events.Publish(server.Now(), event(1))
			c.prepare(server)
			ended := follow(t, source, c.from, &sink{})
			err := waittest.Receive(t, ended).err
			c.check(t, err)
			if err != nil {
				require.NotContains(t, err.Error(), demoprovider.Auth0ClientSecret)
				require.NotContains(t, err.Error(), "eyJ-token")
			}
		})
	}
}

// telling has the server say that in place of what happened.
func telling(message string) func(*demoprovider.Auth0) {
	return func(a *demoprovider.Auth0) {
		a.Fail(demoprovider.Fault{Path: "/events", Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: message})
	}
}

// A token that is refused is replaced once.
func TestEventsReplaceARefusedToken(t *testing.T) {
	t.Parallel()
	server, source := followed(t)
	server.Events.Publish(server.Now(), event(1))
	var to sink
	ended := follow(t, source, since(), &to)
	waittest.Until(t, func() bool { return to.at() != "" })
	server.Events.Recycle("")
	require.NoError(t, waittest.Receive(t, ended).err)
	server.RevokeTokens()
	server.Events.Publish(server.Now(), event(2))
	follow(t, source, userapi.Position{Cursor: to.at()}, &to)
	waittest.Until(t, func() bool { return to.at() == demoprovider.Auth0Offset(2) })
	require.Equal(t, 2, server.Requests("/oauth/token"))
}

// hostile serves a stream that is written by a function, behind a token endpoint.
func hostile(tb testing.TB, write func(w io.Writer, flush func(), gone <-chan struct{})) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			fmt.Fprint(w, `{"access_token":"eyJ-token","expires_in":86400}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		write(w, func() { _ = http.NewResponseController(w).Flush() }, r.Context().Done())
	}))
	tb.Cleanup(server.Close)
	return server.URL
}

// What a server sends is bounded in size and time, and what was left out is known.
func TestHostileStreams(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		write  func(w io.Writer, flush func(), gone <-chan struct{})
		words  string
		lost   bool
		cursor string
	}{
		"EndlessLine": {func(w io.Writer, _ func(), gone <-chan struct{}) {
			fmt.Fprint(w, "id: 7\ndata: ")
			for stillOpen(gone) {
				fmt.Fprint(w, huge)
			}
		}, "endless", true, "7"},
		"EndlessLineFirst": {func(w io.Writer, _ func(), gone <-chan struct{}) {
			for stillOpen(gone) {
				fmt.Fprint(w, huge)
			}
		}, "endless", true, ""},
		"EndlessMessage": {func(w io.Writer, _ func(), gone <-chan struct{}) {
			fmt.Fprint(w, "id: 7\n")
			for stillOpen(gone) {
				fmt.Fprint(w, "data: "+huge+"\n")
			}
		}, "endless", true, "7"},
		"TooLarge": {func(w io.Writer, flush func(), gone <-chan struct{}) {
			fmt.Fprint(w, "event: user.created\nid: 8\ndata: "+huge+huge+"\n\n")
			flush()
			<-gone
		}, "too large", true, "8"},
		"Silence": {func(_ io.Writer, flush func(), gone <-chan struct{}) {
			flush()
			<-gone
		}, "nothing came", false, ""},
		"Drip": {func(w io.Writer, flush func(), gone <-chan struct{}) {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			fmt.Fprint(w, "data: ")
			for stillOpen(gone) {
				fmt.Fprint(w, "x")
				flush()
				<-tick.C
			}
		}, "did not arrive", false, ""},
		"CutOff": {func(w io.Writer, flush func(), _ <-chan struct{}) {
			fmt.Fprint(w, "data: {")
			flush()
			panic(http.ErrAbortHandler)
		}, "broke", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := userapi.Deps{Transport: userapitest.Transport()}
			if name == "Silence" || name == "Drip" {
				d.Timeout = 2 * time.Second // of a token, too; to be waited for, six times
			}
			source := eventsAt(t, hostile(t, c.write), d)
			err := waittest.Receive(t, follow(t, source, since(), &sink{})).err
			require.ErrorContains(t, err, c.words)
			gap, is := errors.AsType[*userapi.LostError](err)
			require.Equal(t, c.lost, is)
			if is {
				require.Equal(t, c.cursor, gap.Cursor)
			} else {
				require.True(t, fault.Is(err, fault.ProviderUnavailable), "%v", err)
			}
		})
	}
}

func stillOpen(gone <-chan struct{}) bool {
	select {
	case <-gone:
		return false
	default:
		return true
	}
}

// What came before a message that is refused is stored.
func TestEventsBeforeATooLargeOneAreTaken(t *testing.T) {
	t.Parallel()
	base := hostile(t, func(w io.Writer, flush func(), gone <-chan struct{}) {
		fmt.Fprint(w, "id: 1\ndata: {\"event\":{\"a\":1}}\n\nid: 2\ndata: "+strings.Repeat("x", 2<<20)+"\n\n")
		flush()
		<-gone
	})
	var to sink
	err := waittest.Receive(t, follow(t, eventsAt(t, base, userapi.Deps{Transport: userapitest.Transport()}), since(), &to)).err
	gap, is := errors.AsType[*userapi.LostError](err)
	require.True(t, is)
	require.Equal(t, "2", gap.Cursor)
	require.Equal(t, []string{`{"a":1}`}, to.bodies)
	require.Equal(t, "1", to.cursor)
}

// What is no JSON is stored as it is, so that it fails where people see it.
func TestEventThatCannotBeReadIsKept(t *testing.T) {
	t.Parallel()
	base := hostile(t, func(w io.Writer, _ func(), _ <-chan struct{}) {
		fmt.Fprint(w, "event: user.created\nid: 1\ndata: {oops\n\nevent: news\nid: 2\ndata: {\"offset\":\"2\"}\n\n")
	})
	var to sink
	require.NoError(t, waittest.Receive(t, follow(t, eventsAt(t, base, userapi.Deps{Transport: userapitest.Transport()}), since(), &to)).err)
	require.Equal(t, []string{"{oops"}, to.bodies)
	require.Equal(t, "2", to.cursor, "a message of a new kind only moves the cursor")
}

// The token goes to no other host, whatever the server says.
func TestEventsAreNotRedirected(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	t.Cleanup(elsewhere.Close)
	server, source := followed(t)
	server.Fail(demoprovider.Fault{Path: "/events", Status: 302, Header: http.Header{"Location": {elsewhere.URL}}})
	err := waittest.Receive(t, follow(t, source, since(), &sink{})).err
	require.ErrorContains(t, err, "redirects to another address")
	require.Empty(t, reached)
}

func TestPullNeedsAnApplication(t *testing.T) {
	t.Parallel()
	c := credentials()
	c.ClientSecret = ""
	_, err := auth0.New().NewVerifier(c, provider.Options{Pull: true})
	require.ErrorContains(t, err, "options.pull needs credentials.client_secret")
	_, err = auth0.New().NewVerifier(credentials(), provider.Options{Pull: true})
	require.NoError(t, err)
}
