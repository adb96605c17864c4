package watch_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/standardwebhooks"
	"github.com/authsync/authsync/internal/watch"
)

// operator is a webhook of the operator.
type operator struct {
	url string

	mu     sync.Mutex
	status int
	calls  []received
}

type received struct {
	header http.Header
	body   []byte
	fields map[string]any
}

// data is the problem.
func (r received) data(t *testing.T) map[string]any {
	t.Helper()
	data, is := r.fields["data"].(map[string]any)
	require.True(t, is)
	return data
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{status: http.StatusNoContent}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		o.mu.Lock()
		defer o.mu.Unlock()
		got := received{header: r.Header, body: body}
		if err == nil {
			err = json.Unmarshal(body, &got.fields)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		o.calls = append(o.calls, got)
		w.WriteHeader(o.status)
	}))
	t.Cleanup(s.Close)
	o.url = s.URL + "/hook?token=secret"
	return o
}

func (o *operator) answer(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
}

// taken returns the calls since the last time.
func (o *operator) taken() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

func key() []byte { return []byte("0123456789abcdef0123456789abcdef") }

func (b *testBundle) calling(t *testing.T, targets ...watch.Target) *watch.Watcher {
	t.Helper()
	c := b.config(t)
	c.Targets, c.Client = targets, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return watch.New(c)
}

func TestCallsAreSigned(t *testing.T) {
	t.Parallel()
	b, o, slack := setup(t), newOperator(t), newOperator(t)
	w := b.calling(t, watch.Target{URL: o.url, Key: key()}, watch.Target{URL: slack.url, Slack: true})
	b.exec(t, `UPDATE authsync.integrations SET provider = 'clerk'`)
	b.exec(t, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, finished_at) VALUES ($1, 'clerk', 'backfill', 'failed', '<!channel> & no', now())`, b.shop)
	b.evaluate(t, w)
	require.NoError(t, w.Call(t.Context()))

	calls := o.taken()
	require.Len(t, calls, 1)
	verifier, err := standardwebhooks.NewKey(key(), 1)
	require.NoError(t, err)
	id, _, err := standardwebhooks.Verify([]standardwebhooks.Key{verifier}, standardwebhooks.Standard, calls[0].header, calls[0].body, b.now())
	require.NoError(t, err)
	require.Contains(t, id, "problem_")
	data := calls[0].data(t)
	require.Equal(t, "shop", data["project"])
	require.Equal(t, "clerk backfill", data["subject"])
	require.Nil(t, data["closed_at"])

	calls = slack.taken()
	require.Len(t, calls, 1)
	require.Equal(t, []string{"text"}, keys(calls[0].fields), "Slack takes nothing else")
	require.Contains(t, calls[0].fields["text"], "failed: &lt;!channel&gt; &amp; no\nNext: ", "nobody is mentioned by a text of others")
	require.NotNil(t, b.list(t, "")[0].NotifiedAt)

	var names string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT string_agg(target || coalesce(last_error, ''), ' ') FROM authsync.problem_calls`).Scan(&names))
	require.NotContains(t, names, "secret")
}

func keys(m map[string]any) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// A call is made again until it is accepted, with the same id, and the closing comes after the opening.
func TestCallsAreRetried(t *testing.T) {
	t.Parallel()
	b, o := setup(t), newOperator(t)
	w := b.calling(t, watch.Target{URL: o.url, Key: key()})
	o.answer(http.StatusServiceUnavailable)
	b.skew = time.Hour
	b.evaluate(t, w)
	require.NoError(t, w.Call(t.Context()))
	require.NoError(t, w.Call(t.Context()))
	first := o.taken()
	require.Len(t, first, 1, "not before the pause is over")
	b.skew = 0
	b.evaluate(t, w)
	require.NoError(t, w.Call(t.Context()))
	second := o.taken()
	require.Len(t, second, 1, "the closing waits for the opening")
	require.Equal(t, first[0].header.Get("Webhook-Id"), second[0].header.Get("Webhook-Id"))
	require.Equal(t, first[0].body, second[0].body)

	o.answer(http.StatusNoContent)
	b.pass(time.Hour)
	require.NoError(t, w.Call(t.Context()))
	require.NoError(t, w.Call(t.Context()))
	var types []any
	for _, c := range o.taken() {
		types = append(types, c.fields["type"])
	}
	require.Equal(t, []any{"problem.opened", "problem.closed"}, types)
}

// After three days a call is given up. A target that was added since an opening gets neither that nor its closing.
func TestCallsEnd(t *testing.T) {
	t.Parallel()
	b, o, added := setup(t), newOperator(t), newOperator(t)
	w := b.calling(t, watch.Target{URL: o.url, Key: key()})
	o.answer(http.StatusInternalServerError)
	b.skew = time.Hour
	b.evaluate(t, w)
	for range 20 {
		require.NoError(t, w.Call(t.Context()))
		b.pass(12 * time.Hour)
	}
	require.Len(t, o.taken(), 15)
	var given bool
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT failed_calls = 1 FROM authsync.open_problems`).Scan(&given))
	require.True(t, given)

	w = b.calling(t, watch.Target{URL: o.url, Key: key()}, watch.Target{URL: added.url, Key: key()})
	b.skew = 0
	b.exec(t, `SELECT authsync.make_inbox_partitions(CURRENT_DATE, 30)`)
	b.evaluate(t, w)
	require.NoError(t, w.Call(t.Context()))
	require.Empty(t, added.taken())
}

// Two processes make a call once.
func TestTwoProcessesCallOnce(t *testing.T) {
	t.Parallel()
	b, o := setup(t), newOperator(t)
	b.skew = time.Hour
	b.evaluate(t, b.calling(t, watch.Target{URL: o.url, Key: key()}))
	const processes = 8
	errs := make(chan error, processes)
	for range processes {
		w := b.calling(t, watch.Target{URL: o.url, Key: key()})
		go func() { errs <- w.Call(context.Background()) }()
	}
	for range processes {
		require.NoError(t, <-errs)
	}
	require.Len(t, o.taken(), 1)
}
