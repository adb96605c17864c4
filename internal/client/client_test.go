package client_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
)

func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := client.New(server.URL, "capy_test_key")
	t.Cleanup(c.Close)
	return c
}

func TestARefusalIsTheServersOwnWords(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"title": "Service Unavailable", "status": 503, "detail": "come back later"}`))
	})
	_, err := c.Projects(t.Context())
	require.EqualError(t, err, "come back later (503)")
	require.Equal(t, http.StatusServiceUnavailable, client.Status(err))
	var refused *client.RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "7", refused.RetryAfter)
}

func TestARefusalWithoutWordsHasItsStatus(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	_, err := c.Projects(t.Context())
	require.EqualError(t, err, "the server answers 502 Bad Gateway")
}

func TestTheKeyDoesNotFollowARedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it followed") }))
	t.Cleanup(elsewhere.Close)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	_, err := c.Projects(t.Context())
	require.Equal(t, http.StatusTemporaryRedirect, client.Status(err))
}

func TestListsAreReadPageByPage(t *testing.T) {
	t.Parallel()
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("cursor")+"/"+r.URL.Query().Get("limit"))
		page := len(asked)
		next := `"` + strconv.Itoa(page) + `"`
		if page == 3 {
			next = "null"
		}
		_, _ = w.Write([]byte(`{"data": [{"id": "` + strconv.Itoa(page) + `a"}, {"id": "b"}], "next_cursor": ` + next + `}`))
	})
	events, err := c.Events(t.Context(), "shop", client.EventFilter{}, 0)
	require.NoError(t, err)
	require.Len(t, events, 6)
	require.Equal(t, []string{"/200", "1/200", "2/200"}, asked)

	asked = nil
	events, err = c.Events(t.Context(), "shop", client.EventFilter{}, 3)
	require.NoError(t, err)
	require.Len(t, events, 4, "the server gave more than it was asked for")
	require.Equal(t, []string{"/3", "1/1"}, asked, "and no page was asked for in vain")
}

func TestOtherServersAreNamed(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	_, err := c.Projects(t.Context())
	require.ErrorContains(t, err, "is that an authsync server?")
	_, err = c.Ready(t.Context())
	require.ErrorContains(t, err, "is that an authsync server?")

	_, err = client.New("http://127.0.0.1:1", "").Projects(t.Context())
	require.ErrorContains(t, err, "nothing answers at http://127.0.0.1:1")
}

// What net/http says of a wrong URL is for programmers.
func TestWrongURLsAreExplained(t *testing.T) {
	t.Parallel()
	answer := func(status int, location string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(status)
		}
	}
	start := func(handler http.HandlerFunc, withTLS bool) *httptest.Server {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		if withTLS {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		return server
	}
	plain, secure := start(answer(http.StatusOK, ""), false), start(answer(http.StatusOK, ""), true)
	for name, tc := range map[string]struct{ url, says string }{
		"HTTPSToHTTP": {"https" + strings.TrimPrefix(plain.URL, "http"), "does not speak TLS: write http:// in AUTHSYNC_URL"},
		"HTTPToHTTPS": {"http" + strings.TrimPrefix(secure.URL, "https"), "the server answers 400 Bad Request: if it takes HTTPS, write https:// in AUTHSYNC_URL"},
		"Certificate": {secure.URL, "is refused"},
		"UnknownName": {"http://authsync.invalid", "check AUTHSYNC_URL"},
		"MovedToHTTPS": {
			start(answer(http.StatusMovedPermanently, "https://sync.example.com/api/capydb/v1/projects?limit=200"), false).URL,
			"the server answers 301 Moved Permanently, to https://sync.example.com: set AUTHSYNC_URL to where it leads",
		},
		"SignInOfAProxy": {start(answer(http.StatusFound, "/login"), false).URL, "/login: set AUTHSYNC_URL to where it leads"},
		"NotFound":       {start(answer(http.StatusNotFound, ""), false).URL, "the server answers 404 Not Found: is an authsync server at AUTHSYNC_URL?"},
		"ClosesAtOnce":   {start(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false).URL, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client.New(tc.url, "capy_test_key").Projects(t.Context())
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "Get \"")
		})
	}
}

func TestAWebhookGoesWhereTheProviderWouldSendIt(t *testing.T) {
	t.Parallel()
	var path, body, key string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		content := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(content)
		path, body, key = r.URL.Path, string(content), r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNoContent)
	})
	require.NoError(t, c.Deliver(t.Context(), "better_auth", "0b0c", http.Header{"X-Sign": {"s"}}, []byte("{}")))
	require.Equal(t, "/api/capydb/v1/integrations/better-auth/webhook/0b0c", path)
	require.Equal(t, "{}", body)
	require.Empty(t, key, "the API key is no business of the receiver")
}

func TestAReplayIsContinuedUntilAllIsDone(t *testing.T) {
	t.Parallel()
	var sent []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent = append(sent, string(body))
		next := `"9-2-0"`
		if len(sent) == 2 {
			next = "null"
		}
		_, _ = io.WriteString(w, `{"jobs": 4, "dry_run": false, "next_cursor": `+next+`}`)
	})
	jobs, err := c.Replay(t.Context(), "shop", client.EventFilter{Outcome: "failed"})
	require.NoError(t, err)
	require.Equal(t, 8, jobs)
	require.Len(t, sent, 2)
	require.JSONEq(t, `{"outcome": "failed"}`, sent[0])
	require.JSONEq(t, `{"outcome": "failed", "cursor": "9-2-0"}`, sent[1])
}
