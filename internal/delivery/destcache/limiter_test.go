package destcache_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestLimitsOfAnAccountAreOne(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	take := func(account, class string, daily int, at string) (granted bool) {
		require.NoError(t, tx.QueryRow(t.Context(), `
			SELECT is_granted FROM authsync.take_permit($1, $2, 10, interval '10 seconds', $3, 'Europe/Berlin', interval '1 second', interval '0', $4)`,
			account, class, daily, at).Scan(&granted))
		return granted
	}
	account := uuid.NewString()
	require.True(t, take(account, "search", 0, "2026-03-01 12:00:00Z"))
	require.False(t, take(account, "search", 0, "2026-03-01 12:00:01Z"))
	require.True(t, take(account, "write", 0, "2026-03-01 12:00:01Z"), "another class")
	require.True(t, take(uuid.NewString(), "search", 0, "2026-03-01 12:00:01Z"), "another account")
	require.True(t, take(account, "search", 0, "2026-03-01 12:00:02Z"))

	day := uuid.NewString()
	require.True(t, take(day, "all", 2, "2026-03-01 12:00:00Z"))
	require.True(t, take(day, "all", 2, "2026-03-01 13:00:00Z"))
	require.False(t, take(day, "all", 2, "2026-03-01 22:59:59Z"))
	require.True(t, take(day, "all", 2, "2026-03-01 23:00:00Z"), "midnight in Berlin")
}
