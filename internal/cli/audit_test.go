package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// Commands that work on the control database leave a row there as calls of the API do.
func TestCommandsOnTheControlDatabaseAreRecorded(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	env := map[string]string{"DATABASE_URL": pgtest.URL(t, pool), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(), "AUTHSYNC_DATA_DIR": t.TempDir()}
	rows := func() (list []string) {
		t.Helper()
		found, err := pool.Query(t.Context(), `SELECT concat_ws(' ', actor, via, action, outcome, split_part(user_agent, ' on ', 1)) FROM authsync.audit_log ORDER BY id`)
		require.NoError(t, err)
		list, err = pgx.CollectRows(found, pgx.RowTo[string])
		require.NoError(t, err)
		return list
	}
	do := func(status int, args ...string) result {
		t.Helper()
		r := run(t.Context(), env, "", args...)
		require.Equal(t, status, r.status, r.err)
		return r
	}
	do(0, "migrate", "up")
	want := []string{"command command schema.migrate succeeded authsync migrate up"}
	require.Equal(t, want, rows())
	do(0, "migrate", "up")
	require.Equal(t, want, rows(), "it changed nothing")

	do(0, "keys", "create", "ops")
	do(1, "keys", "create", strings.Repeat("x", 200))
	do(0, "keys", "rotate-encryption")
	want = append(want, "command command key.create succeeded authsync keys create", "command command key.create failed authsync keys create",
		"command command encryption.rotate succeeded authsync keys rotate-encryption")
	require.Equal(t, want, rows())
}

func TestAuditLogIsListedAndExported(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	b.must(t, "keys", "create", "first")
	b.must(t, "keys", "create", "second")
	text := b.must(t, "audit", "list", "--action", "key", "--since", "1h")
	require.Contains(t, text, "key.create")
	require.Contains(t, text, "succeeded")
	require.Contains(t, text, "127.0.0.1")

	var entries []client.AuditEntry
	for line := range strings.Lines(b.must(t, "audit", "export", "--action", "key.create")) {
		var e client.AuditEntry
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		entries = append(entries, e)
	}
	require.GreaterOrEqual(t, len(entries), 2)
	last := entries[len(entries)-1]
	require.JSONEq(t, `{"name": "second", "test": false, "role": "admin"}`, string(last.Changes), "oldest first")
	require.Contains(t, b.run(t, "audit", "list", "--since", "yore").err, "is no time")
	require.Contains(t, b.run(t, "audit", "list", "--outcome", "lost").err, "outcome")
}
