package destinationtest

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// side is the other side: it counts requests, and fails as it is told to.
type side struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	ids      []string
}

// open starts another side that answers through handler.
func (s Suite) open(t *testing.T, handler http.Handler) *side {
	t.Helper()
	o := &side{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests++
		if s.IDHeader != "" {
			o.ids = append(o.ids, r.Header.Get(s.IDHeader))
		}
		o.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *side) seen() (requests int, ids []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests, append([]string(nil), o.ids...)
}

// destination makes the type's destination at the other side.
func (s Suite) destination(t *testing.T, url string, d destination.Deps) (destination.Destination, destination.Config) {
	t.Helper()
	config := s.config(url)
	if d.Client == nil {
		d.Client = &http.Client{Transport: &http.Transport{}}
		t.Cleanup(d.Client.CloseIdleConnections)
	}
	made, err := s.Type.New(config, d)
	require.NoError(t, err)
	return made, config
}

// mustKeep fails unless results are one a message, and each is one that can be stored and shown.
func mustKeep(t *testing.T, c destination.Config, messages []destination.Message, results []destination.Result) {
	t.Helper()
	require.Len(t, results, len(messages), "one result a message")
	for _, r := range results {
		require.LessOrEqual(t, len(r.Response), destination.MaxResponse)
		require.True(t, utf8.ValidString(r.Response), "the response is valid UTF-8")
		require.NotContains(t, r.Response, "\x00", "PostgreSQL can keep the response")
		require.True(t, utf8.ValidString(r.Reason))
		require.LessOrEqual(t, len(r.Reason), 1000)
		require.GreaterOrEqual(t, r.After, time.Duration(0))
		if r.Outcome != destination.Delivered {
			require.NotEmpty(t, r.Reason, "a person learns why")
		}
		mustHide(t, c, r.Response, r.Reason)
		mustKeepExchanges(t, c, r.Exchanges)
	}
}

func (s Suite) testSend(t *testing.T) {
	t.Helper()
	t.Run("AllIsWell", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{})
		messages := s.messages(d)
		results := d.Send(t.Context(), messages)
		mustKeep(t, config, messages, results)
		for i, r := range results {
			require.Equal(t, destination.Delivered, r.Outcome, "message %d: %s", i, r.Reason)
		}
		requests, _ := o.seen()
		require.Positive(t, requests)
	})
	t.Run("TheIDStays", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		var want []string
		for range 2 { // as two processes would
			d, _ := s.destination(t, o.URL, destination.Deps{})
			messages := s.messages(d)[:1]
			d.Send(t.Context(), messages)
			messages[0].Attempt = 2
			d.Send(t.Context(), messages)
			if s.IDHeader != "" {
				want = append(want, messages[0].ID, messages[0].ID)
			}
		}
		_, ids := o.seen()
		require.Equal(t, want, ids)
	})
	t.Run("ManyAtOnce", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{})
		all := make([][]destination.Result, 8)
		var group sync.WaitGroup
		for i := range all {
			group.Go(func() { all[i] = d.Send(t.Context(), s.messages(d)) })
		}
		group.Wait()
		for _, results := range all {
			mustKeep(t, config, s.messages(d), results)
		}
	})
	t.Run("TheContextHasEnded", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.mustAll(t, d, config, ctx, destination.Retry)
		requests, _ := o.seen()
		require.Zero(t, requests)
	})
	t.Run("TheContextEndsMeanwhile", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		o := s.open(t, hangs(cancel))
		d, config := s.destination(t, o.URL, destination.Deps{})
		s.mustAll(t, d, config, ctx, destination.Retry)
	})
}

// mustAll sends messages, and fails unless each has one of the outcomes.
func (s Suite) mustAll(t *testing.T, d destination.Destination, c destination.Config, ctx context.Context, outcomes ...destination.Outcome) []destination.Result { //nolint:revive // ctx is the one thing that differs
	t.Helper()
	messages := s.messages(d)
	begun := time.Now()
	results := d.Send(ctx, messages)
	mustKeep(t, c, messages, results)
	for _, r := range results {
		require.Contains(t, outcomes, r.Outcome, "reason: %s", r.Reason)
	}
	// Each message may be an attempt of its own. The rest is for a machine that is busy.
	require.Less(t, time.Since(begun), s.AttemptTime*time.Duration(len(messages))+waittest.Bound)
	return results
}

// hangs takes a request and never answers. What it calls then may be nil.
func hangs(then func()) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// Only once the body is read does the server look whether the client is still there.
		_, _ = io.Copy(io.Discard, r.Body)
		if then != nil {
			then()
		}
		<-r.Context().Done()
	})
}

func answer(status int, header http.Header, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

// echo answers with what it was sent, between two halves of a long text.
func echo(status, before int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("x", before))
		_, _ = io.WriteString(w, r.URL.String()+"\n") //nolint:gosec // an answer that quotes its request is what is tested
		_ = r.Header.Write(w)
		_, _ = w.Write([]byte(strings.Repeat("y", 3*destination.MaxResponse)))
	})
}
