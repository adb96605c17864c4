package destinationtest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
)

// arrival is a request as the other side had it.
type arrival struct {
	method, url string
	header      http.Header
	body        string
}

// arrivals are requests in the order of their coming.
type arrivals struct {
	mu  sync.Mutex
	all []arrival
}

// note passes requests on, and notes them.
func (a *arrivals) note(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		a.all = append(a.all, arrival{r.Method, "http://" + r.Host + r.RequestURI, r.Header.Clone(), string(body)})
		a.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(w, r)
	})
}

// testSent requires that what is kept of requests is what arrived, but for secrets.
func (s Suite) testSent(t *testing.T) {
	t.Helper()
	for name, handler := range map[string]http.Handler{"AllIsWell": s.Server(), "Refused": answer(http.StatusTeapot, nil, "no"), "Echo": echo(http.StatusBadRequest, 10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var came arrivals
			o := s.open(t, came.note(handler))
			d, config := s.destination(t, o.URL, destination.Deps{})
			results := d.Send(t.Context(), s.messages(d)[:1])
			mustKeep(t, config, s.messages(d)[:1], results)
			require.NotEmpty(t, came.all)
			require.Len(t, results[0].Exchanges, len(came.all))
			for i, e := range results[0].Exchanges {
				require.True(t, e.Sent)
				require.NotZero(t, e.Status)
				came.all[i].mustBe(t, e)
			}
			if results[0].Status != 0 { // otherwise several answers make the result
				require.Equal(t, results[0].Status, results[0].Exchanges[len(came.all)-1].Status)
			}
		})
	}
	t.Run("NoConnection", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, s.Server())
		d, config := s.destination(t, o.URL, destination.Deps{})
		o.Close()
		results := d.Send(t.Context(), s.messages(d)[:1])
		mustKeep(t, config, s.messages(d)[:1], results)
		require.Len(t, results[0].Exchanges, 1)
		require.False(t, results[0].Exchanges[0].Sent)
		require.Zero(t, results[0].Exchanges[0].Status)
	})
	t.Run("NoAnswer", func(t *testing.T) {
		t.Parallel()
		o := s.open(t, hangs(nil))
		t.Cleanup(o.CloseClientConnections)
		d, _ := s.destination(t, o.URL, destination.Deps{})
		results := d.Send(t.Context(), s.messages(d)[:1])
		require.Len(t, results[0].Exchanges, 1)
		require.True(t, results[0].Exchanges[0].Sent, "it may have arrived")
		require.Zero(t, results[0].Exchanges[0].Status)
	})
}

// mustBe requires that e is what arrived, but for what is masked and what the connection adds.
func (a arrival) mustBe(t *testing.T, e destination.Exchange) {
	t.Helper()
	require.Equal(t, a.method, e.Method)
	mustMatch(t, strings.TrimSuffix(a.url, "/"), strings.TrimSuffix(e.URL, "/"))
	header := a.header.Clone()
	header.Del("Content-Length")
	header.Del("Accept-Encoding")
	require.Len(t, e.Header, len(header), "%v %v", e.Header, header)
	for name, values := range header {
		require.Len(t, e.Header[name], len(values), name)
		for i := range values {
			mustMatch(t, values[i], e.Header[name][i])
		}
	}
	require.Equal(t, len(a.body), e.BodyBytes)
	require.False(t, e.BodyCut)
	if !strings.Contains(e.Note, "secrets") {
		require.Equal(t, a.body, e.Body)
		return
	}
	mustMatch(t, a.body, e.Body)
}

// mustMatch requires that a text is what is shown, but for what is masked.
func mustMatch(t *testing.T, text, shown string) {
	t.Helper()
	form := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(shown), regexp.QuoteMeta(destination.Masked), ".+") + "$"
	require.Regexp(t, form, text)
}

// mustKeepExchanges fails unless requests can be stored and shown.
func mustKeepExchanges(t *testing.T, c destination.Config, exchanges []destination.Exchange) {
	t.Helper()
	require.LessOrEqual(t, len(exchanges), destination.MaxExchanges)
	for _, e := range exchanges {
		require.LessOrEqual(t, len(e.Body), destination.MaxResponse)
		require.LessOrEqual(t, len(e.Response), destination.MaxResponse)
		require.NotContains(t, fmt.Sprintf("%+v", e), "\x00", "PostgreSQL can keep it")
		for _, text := range []string{e.URL, e.Body, e.Response, e.Note} {
			require.True(t, utf8.ValidString(text))
			mustHide(t, c, text)
		}
		for name, values := range e.Header {
			mustHide(t, c, name)
			mustHide(t, c, values...)
		}
		for _, name := range []string{"Webhook-Signature", "Svix-Signature"} {
			require.Contains(t, []string{"", destination.Masked}, e.Header.Get(name))
		}
	}
}
