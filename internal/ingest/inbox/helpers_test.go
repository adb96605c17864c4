package inbox_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/authsync/authsync/internal/localpg.(*Server).runOnce.func1"))
}

// now is the clock of most tests.
func now() time.Time { return time.Date(2026, 8, 14, 9, 30, 15, 123456000, time.UTC) }

func newInbox(t *testing.T, pool *pgxpool.Pool, config inbox.Config) *inbox.Inbox {
	t.Helper()
	if config.Now == nil {
		config.Now = now
	}
	in := inbox.New(pool, newJobs(t), config)
	t.Cleanup(func() { _ = in.Close(t.Context()) }) // the context is over: whatever still waits is given up
	return in
}

func newJobs(t *testing.T) *river.Client[pgx.Tx] {
	t.Helper()
	jobs, err := inbox.NewJobs(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return jobs
}

func delivery(change ...func(*inbox.Message)) inbox.Message {
	d := inbox.Message{
		ProjectID: uuid.MustParse("7d9a1f34-5b0e-4c53-9a67-08b6f1d2c3e4"), Provider: "auth0",
		Headers: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{"id":"evt_1"}`),
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

// value runs a query that gives one value.
func value[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) T {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	require.NoError(t, err)
	return v
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// settle removes messages from those that wait to be applied, apart from some.
func settle(t *testing.T, pool *pgxpool.Pool, except ...int64) {
	t.Helper()
	exec(t, pool, `DELETE FROM authsync.inbox_pending WHERE NOT inbox_ids && $1`, append([]int64{}, except...))
}
