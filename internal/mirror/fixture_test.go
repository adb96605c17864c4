package mirror_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func projectID() uuid.UUID { return uuid.MustParse("0a6f6e3c-7c1b-4f0e-9a55-2d6a8c1e4b10") }

// newMirrors makes Mirrors whose only project has the pool's database.
func newMirrors(t *testing.T, pool *pgxpool.Pool) *mirror.Mirrors {
	t.Helper()
	return newMirrorsAt(t, pgtest.URL(t, pool))
}

func newMirrorsAt(t *testing.T, url string) *mirror.Mirrors {
	t.Helper()
	return mirrorsOf(t, tenantdb.Config{
		URL: func(context.Context, uuid.UUID) (string, error) { return url, nil },
		// Short, so that tests which wait for a lock are not slow.
		LockTimeout: 200 * time.Millisecond,
	}, discard())
}

// mirrorsOf makes Mirrors in the databases that a configuration names. They find the event that fails however slow
// the machine is.
func mirrorsOf(t *testing.T, config tenantdb.Config, log *slog.Logger) *mirror.Mirrors {
	t.Helper()
	return mirror.New(mirror.Config{Databases: databasesOf(t, config), Log: log, Now: config.Now, FlushBudget: waittest.Bound})
}

func databasesOf(t *testing.T, config tenantdb.Config) *tenantdb.Databases {
	t.Helper()
	databases := tenantdb.New(config)
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	return databases
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// apply calls apply_events as Mirrors does and gives the outcomes in the order of the events.
func apply(t require.TestingT, pool *pgxpool.Pool, events []mirror.Event) []string {
	rows, err := pool.Query(context.Background(),
		`SELECT outcome FROM capydb_auth.apply_events(`+mirror.EventArray+`) ORDER BY ordinal`, mirror.EventArgs(events)...)
	require.NoError(t, err)
	outcomes, err := collectTexts(rows)
	require.NoError(t, err)
	return outcomes
}

// update makes a user.updated of user u1 at the given second, saying the
// columns as pairs of column and value.
func update(id string, second int, says ...string) mirror.Event {
	at := time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC)
	e := mirror.Event{
		Event: provider.Event{
			ID: id, Type: "user.updated", UserID: "u1", At: at, SentAt: at, Fields: provider.Fields{record.DeletedAt: nil},
		},
		Provider: provider.Auth0, InboxID: int64(second), ReceivedAt: at,
	}
	for i := 0; i < len(says); i += 2 {
		e.Fields[record.Column(says[i])] = &says[i+1]
	}
	return e
}

// deletion makes a user.deleted of user u1 at the given second, without a profile.
func deletion(id string, second int) mirror.Event {
	e := update(id, second)
	e.Type, e.DeletedClock, e.At = "user.deleted", e.At, time.Time{}
	text := e.DeletedClock.Format(time.RFC3339)
	e.Fields[record.DeletedAt] = &text
	return e
}

func withRaw(e mirror.Event, raw string) mirror.Event {
	e.Raw = json.RawMessage(raw)
	return e
}
