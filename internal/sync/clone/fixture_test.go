package clone_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// testBundle is a source and a clone of it.
type testBundle struct {
	control, source, clone *pgxpool.Pool
	sourceID, cloneID      uuid.UUID
	databases              *tenantdb.Databases
	mirrors                *mirror.Mirrors
	config                 clone.Config
	keys                   map[uuid.UUID][]byte // of erasures

	mu   sync.Mutex
	urls map[uuid.UUID]string
}

// ErasureKey implements mirror.ErasureKeys.
func (b *testBundle) ErasureKey(_ context.Context, id uuid.UUID) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[id], nil
}

func (b *testBundle) database(_ context.Context, id uuid.UUID) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if url, known := b.urls[id]; known {
		return url, nil
	}
	return "", errors.New("there is no such project")
}

func (b *testBundle) move(id uuid.UUID, url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.urls[id] = url
}

// setup makes a clone in a mode, of which nothing is copied yet, that copies pages of so many rows.
func setup(t *testing.T, mode string, page int) *testBundle {
	t.Helper()
	b := &testBundle{
		control: pgtest.Control(t), source: pgtest.Project(t), clone: pgtest.Project(t), sourceID: uuid.New(), cloneID: uuid.New(),
		keys: make(map[uuid.UUID][]byte),
	}
	b.urls = map[uuid.UUID]string{b.sourceID: pgtest.URL(t, b.source), b.cloneID: pgtest.URL(t, b.clone)}
	exec(t, b.control, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', ''), ($2, 'preview', '')`, b.sourceID, b.cloneID)
	exec(t, b.control, `INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode) VALUES ($1, $2, 'shop', $3)`,
		b.cloneID, b.sourceID, mode)
	log := slog.New(slog.DiscardHandler)
	databases := tenantdb.New(tenantdb.Config{URL: b.database, Log: log, LockTimeout: time.Second})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	b.databases = databases
	b.mirrors = mirror.New(mirror.Config{Databases: databases, ErasureKeys: b, Log: log})
	b.config = clone.Config{Pool: b.control, Mirrors: b.mirrors, Log: log, Page: page}
	return b
}

// settle steps until there is nothing to do.
func (b *testBundle) settle(t require.TestingT) {
	for range 10_000 {
		idle, _, err := clone.Step(context.Background(), b.config, b.cloneID)
		require.NoError(t, err)
		if idle {
			return
		}
	}
	require.Fail(t, "there is always something to do")
}

// resync has everything copied once more.
func (b *testBundle) resync(t require.TestingT, mode string) {
	exec(t, b.control, `UPDATE authsync.clones SET phase = 'begin', place = NULL, steps = steps + 1, mode = $1`, mode)
	b.settle(t)
}

// apply applies events to the source.
func (b *testBundle) apply(t require.TestingT, events ...mirror.Event) []mirror.Result {
	results, err := b.mirrors.Apply(context.Background(), b.sourceID, events)
	require.NoError(t, err)
	for i, r := range results {
		require.NoError(t, r.Err, "%+v", events[i])
	}
	return results
}

// about makes an event about a record at a second, which sets columns.
func about(ref record.Ref, id string, second int, sets ...string) mirror.Event {
	at := time.Date(2026, 3, 1, 12, 0, second, 123_456_000, time.UTC)
	e := mirror.Event{
		Event:    provider.Event{ID: id, Type: string(ref.Type) + ".updated", At: at, SentAt: at, Fields: provider.Fields{record.DeletedAt: nil}},
		Provider: provider.Clerk, InboxID: int64(second) + 1, ReceivedAt: at,
	}
	e.SetRecord(ref)
	for i := 0; i < len(sets); i += 2 {
		e.Fields[record.Column(sets[i])] = &sets[i+1]
	}
	if len(sets) > 0 {
		e.Raw = json.RawMessage(fmt.Sprintf(`{"id": %q, "said": %q, "n": 1.50}`, ref.ID, sets[1]))
	}
	return e
}

// deletion makes an event that deletes a record.
func deletion(ref record.Ref, id string, second int) mirror.Event {
	e := about(ref, id, second)
	e.Type, e.DeletedClock, e.At = string(ref.Type)+".deleted", e.At, time.Time{}
	text := e.DeletedClock.Format(time.RFC3339Nano)
	e.Fields[record.DeletedAt] = &text
	return e
}

func user(id string) record.Ref { return record.Ref{Type: record.User, ID: id} }

func organization(id string) record.Ref { return record.Ref{Type: record.Organization, ID: id} }

func member(organizationID, userID string) record.Ref {
	return record.Ref{Type: record.Membership, ID: record.MembershipID(organizationID, userID)}
}

// aLittleOfAll are events about records of each type.
func aLittleOfAll() []mirror.Event {
	invitation := record.Ref{Type: record.Invitation, ID: "inv_1"}
	session := record.Ref{Type: record.Session, ID: "sess_1"}
	withUser := about(session, "e10", 10, "status", "active")
	withUser.Fields[record.UserID], withUser.UserID = new("u1"), "u1"
	return []mirror.Event{
		about(user("u1"), "e1", 1, "email", "ada@example.com", "first_name", "Ada"),
		about(user("u2"), "e2", 2, "email", "bob@example.com"),
		about(user("u'\"{}, \\ü"), "e3", 3, "email", "odd@example.com"),
		about(organization("o1"), "e4", 4, "name", "Acme"),
		about(organization("o/%2"), "e5", 5, "name", "Slash"),
		about(member("o1", "u1"), "e6", 6, "role", "admin", "roles", `{"admin","x,\"y"}`),
		about(member("o/%2", "u1"), "e7", 7, "role", "member"),
		about(member("o1", "u2"), "e8", 8, "role", "member"),
		about(invitation, "e9", 9, "email", "eve@example.com", "organization_id", "o1"),
		withUser,
		about(user("u1"), "e11", 11, "email", "ada@example.com"), // changes no value, but the clock
		deletion(user("u2"), "e12", 12),                          // and with it its membership
	}
}

// tables are all that a clone has of its source, with their order.
func tables() map[string]string {
	all := map[string]string{"erasures": "digest", "processed_events": "provider, event_id, record_type, record_id, received_at", "changes": "id"}
	for _, d := range record.Types() {
		all[d.Table] = d.Key[0] + ", " + d.Key[len(d.Key)-1]
	}
	return all
}

// internal are the columns that only order events, and the one of memberships from which another is computed.
const internal = `'{own_deleted_at,provider,last_event_processed,last_event_id,last_event_sent_at,last_event_fields,field_versions}'::text[]`

// content reads a table as text. Ids of changes are a mirror's own. values: without what only orders events.
func content(t require.TestingT, pool *pgxpool.Pool, table string, values bool) []string {
	without := `'{id}'::text[]`
	switch {
	case table != "changes" && !values:
		without = `'{}'::text[]`
	case table != "changes":
		without = internal
	}
	rows, err := pool.Query(context.Background(), `SELECT (to_jsonb(t) - `+without+`)::text FROM capydb_auth.`+table+` AS t ORDER BY `+tables()[table])
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

// same requires that all tables of the clone are those of the source, with all columns.
func (b *testBundle) same(t require.TestingT) {
	for table := range tables() {
		require.Equal(t, content(t, b.source, table, false), content(t, b.clone, table, false), table)
	}
}

// sameValues requires that what people read is the same.
func (b *testBundle) sameValues(t require.TestingT) {
	for table := range tables() {
		if table != "processed_events" {
			require.Equal(t, content(t, b.source, table, true), content(t, b.clone, table, true), table)
		}
	}
}

func exec(t require.TestingT, pool *pgxpool.Pool, sql string, args ...any) {
	_, err := pool.Exec(context.Background(), sql, args...)
	require.NoError(t, err)
}

func value[T any](t require.TestingT, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	require.NoError(t, pool.QueryRow(context.Background(), sql, args...).Scan(&v))
	return v
}
