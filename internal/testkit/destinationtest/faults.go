package destinationtest

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
)

func (s Suite) testFaults(t *testing.T) {
	t.Helper()
	for name, c := range map[string]struct {
		handler  http.Handler
		outcomes []destination.Outcome
	}{
		"InternalError":      {answer(500, nil, "oh"), []destination.Outcome{destination.Retry}},
		"BadGateway":         {answer(502, nil, "<html>oh</html>"), []destination.Outcome{destination.Retry}},
		"Unavailable":        {answer(503, nil, ""), []destination.Outcome{destination.Retry}},
		"GatewayTimeout":     {answer(504, nil, ""), []destination.Outcome{destination.Retry}},
		"TooMany":            {answer(429, nil, "{}"), []destination.Outcome{destination.Deferred}},
		"TooManyAndWhen":     {answer(429, http.Header{"Retry-After": {"7"}}, "{}"), []destination.Outcome{destination.Deferred}},
		"TooManyForAYear":    {answer(429, http.Header{"Retry-After": {"31536000"}}, "{}"), []destination.Outcome{destination.Deferred}},
		"LongAnswer":         {answer(500, nil, strings.Repeat("é", 1<<20)), []destination.Outcome{destination.Retry}},
		"AnswerOfOddBytes":   {answer(500, nil, "\x00\xff\xfe"+strings.Repeat("a", 4093)+"é"), []destination.Outcome{destination.Retry}},
		"ConnectionBreaks":   {breaks(), []destination.Outcome{destination.Retry}},
		"AnswerIsNoHTTP":     {babbles(), []destination.Outcome{destination.Retry}},
		"SecretsComeBack":    {echo(500, 0), []destination.Outcome{destination.Retry}},
		"SecretsAcrossBound": {echo(500, destination.MaxResponse-60), []destination.Outcome{destination.Retry}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := s.destination(t, s.open(t, c.handler).URL, destination.Deps{})
			for _, r := range s.mustAll(t, d, config, t.Context(), c.outcomes...) {
				if r.Outcome == destination.Deferred {
					require.GreaterOrEqual(t, r.After, time.Second)
					require.LessOrEqual(t, r.After, time.Hour, "a mistake of the other side holds nothing back for long")
				}
			}
		})
	}
	t.Run("SecretsAtEveryPlace", func(t *testing.T) {
		t.Parallel()
		for before := destination.MaxResponse - 400; before < destination.MaxResponse; before += 37 {
			d, config := s.destination(t, s.open(t, echo(500, before)).URL, destination.Deps{})
			for _, r := range s.mustAll(t, d, config, t.Context(), destination.Retry) {
				mustHideParts(t, config, r.Response)
			}
		}
	})
	t.Run("NeverAnswers", func(t *testing.T) {
		t.Parallel()
		d, config := s.destination(t, s.open(t, hangs(nil)).URL, destination.Deps{})
		s.mustAll(t, d, config, t.Context(), destination.Retry)
	})
	t.Run("NobodyListens", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		o.Close()
		d, config := s.destination(t, o.URL, destination.Deps{})
		s.mustAll(t, d, config, t.Context(), destination.Retry)
	})
	t.Run("RedirectsAreNotFollowed", func(t *testing.T) {
		t.Parallel()
		for _, status := range []int{301, 302, 303, 307, 308} {
			target := s.open(t, s.Server())
			d, config := s.destination(t, s.open(t, answer(status, http.Header{"Location": {target.URL}}, "")).URL, destination.Deps{})
			s.mustAll(t, d, config, t.Context(), destination.Retry, destination.GiveUp, destination.Pause)
			requests, _ := target.seen()
			require.Zero(t, requests)
		}
	})
	t.Run("TheTargetIsNotAllowed", func(t *testing.T) {
		t.Parallel()
		d, config := s.destination(t, "https://app.example.com", destination.Deps{Client: &http.Client{Transport: refuses{}}})
		for _, r := range s.mustAll(t, d, config, t.Context(), destination.GiveUp, destination.Pause) {
			require.Contains(t, r.Reason, blocked{}.Error())
		}
	})
}

// mustHideParts fails if half of a secret shows.
func mustHideParts(t *testing.T, c destination.Config, text string) {
	t.Helper()
	for name, secret := range c.Secrets.Values {
		require.NotContains(t, text, secret[:len(secret)/2], "the first half of the secret %s shows", name)
	}
}

type refuses struct{}

func (refuses) RoundTrip(*http.Request) (*http.Response, error) { return nil, blocked{} }

// breaks closes the connection instead of answering.
func breaks() http.Handler { return babble("") }

// babbles answers with what is no HTTP.
func babbles() http.Handler { return babble("220 mail.example.com ESMTP\r\n") }

func babble(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = connection.Write([]byte(text))
		_ = connection.Close()
	})
}

// limiter is a destination.Limiter that answers as it is told to.
type limiter struct {
	take   error
	mu     sync.Mutex
	taken  int
	blocks int
}

func (l *limiter) Take(context.Context, string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken++
	return l.take
}

func (l *limiter) Block(_ context.Context, _ string, d time.Duration, because string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d > 0 && because != "" {
		l.blocks++
	}
	return nil
}

// testLimits checks that limits are kept to where the destination has some.
func (s Suite) testLimits(t *testing.T) {
	t.Helper()
	t.Run("EveryRequestIsCounted", func(t *testing.T) {
		t.Parallel()
		l := &limiter{}
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{Limiter: l})
		require.NotEmpty(t, d.Capabilities().Limits, "the configuration of the suite has a limit")
		s.mustAll(t, d, config, t.Context(), destination.Delivered)
		requests, _ := o.seen()
		require.Equal(t, requests, l.taken)
	})
	t.Run("NoRequestBeforeItsTime", func(t *testing.T) {
		t.Parallel()
		l := &limiter{take: &destination.DeferredError{After: 42 * time.Second, Reason: "10 requests in 10 s are used up"}}
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{Limiter: l})
		for _, r := range s.mustAll(t, d, config, t.Context(), destination.Deferred) {
			require.Equal(t, 42*time.Second, r.After)
			require.True(t, r.Shared, "it was not the other side that put these off")
		}
		requests, _ := o.seen()
		require.Zero(t, requests)
	})
	t.Run("A429HoldsTheOthersBack", func(t *testing.T) {
		t.Parallel()
		l := &limiter{}
		d, config := s.destination(t, s.open(t, answer(429, http.Header{"Retry-After": {"7"}}, "{}")).URL, destination.Deps{Limiter: l})
		s.mustAll(t, d, config, t.Context(), destination.Deferred)
		require.Positive(t, l.blocks)
	})
	t.Run("A429ToOneAloneHoldsNobodyElseBack", func(t *testing.T) {
		t.Parallel()
		l := &limiter{}
		o := s.open(t, answer(429, http.Header{"Retry-After": {"7"}}, "{}"))
		d, _ := s.destination(t, o.URL, destination.Deps{Limiter: l})
		m := s.messages(d)[0]
		m.Deferred = true
		r := d.Send(t.Context(), []destination.Message{m})[0]
		require.Equal(t, destination.Deferred, r.Outcome)
		require.True(t, r.Shared || l.blocks == 0, "unless the other side says that it means all")
	})
}
