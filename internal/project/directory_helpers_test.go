package project_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const never = 24 * time.Hour // an interval at which no poll of the test happens after the first

// watcher counts the queries of a pool and can hold one up after it was answered.
type watcher struct {
	queries atomic.Int64
	hold    atomic.Pointer[hold]
}

type hold struct{ reached, release chan struct{} }

func (w *watcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	w.queries.Add(1)
	return ctx
}

func (w *watcher) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {
	if h := w.hold.Swap(nil); h != nil {
		close(h.reached)
		<-h.release
	}
}

// watchedPool is a second process, as far as the database can tell.
func watchedPool(t *testing.T, b *testBundle) (*pgxpool.Pool, *watcher) {
	t.Helper()
	config, err := pgxpool.ParseConfig(pgtest.URL(t, b.pool))
	require.NoError(t, err)
	w := &watcher{}
	config.ConnConfig.Tracer = w
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, w
}

// run starts a directory; it ends with the test.
func run(t *testing.T, c project.DirectoryConfig) *project.Directory {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d, err := project.NewDirectory(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return d
}

func (b *testBundle) directory(t *testing.T, c project.DirectoryConfig) *project.Directory {
	t.Helper()
	ring, err := seal.ParseKeys(b.key)
	require.NoError(t, err)
	c.Keyring = ring
	if c.Pool == nil {
		c.Pool, _ = watchedPool(t, b)
	}
	return run(t, c)
}

// long makes a secret of a word that is long enough to be taken.
func long(word string) string { return word + ", which nobody guesses" }

func (b *testBundle) auth0(t *testing.T, projectID uuid.UUID, secret string) {
	t.Helper()
	_, err := b.store.PutIntegration(t.Context(), projectID, "auth0", credentials(t, `{"webhook_signing_secret": "`+long(secret)+`"}`), nil)
	require.NoError(t, err)
}

func accepts(e project.Endpoint, secret string) bool {
	header := http.Header{"Authorization": {"Bearer " + long(secret)}}
	_, err := e.Verifier.Verify(header, []byte(`{}`), time.Now())
	return err == nil
}

// secretName is the name of the secret that proves a request genuine.
func secretName(t *testing.T, e project.Endpoint, secret string) string {
	t.Helper()
	proof, err := e.Verifier.Verify(http.Header{"Authorization": {"Bearer " + long(secret)}}, []byte(`{}`), time.Now())
	require.NoError(t, err)
	return proof.SecretName
}

// records counts log lines by their message.
type records struct {
	mu     sync.Mutex
	counts map[string]int
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }

func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[string]int{}
	}
	r.counts[record.Message]++
	return nil
}

func (r *records) count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[message]
}
