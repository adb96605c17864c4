package sqlsource_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func TestAccountMarkIsTheDatabase(t *testing.T) {
	t.Parallel()
	first, second := setup(t), setup(t)
	mark := func(pool *pgxpool.Pool, tables provider.UserTables) string {
		mark, err := userapi.AccountMarkOf(t.Context(), sqlsource.New(sqlsource.Config{Pool: pool, Tables: tables}))
		require.NoError(t, err)
		return mark
	}
	require.Regexp(t, `^postgresql:[0-9]+/[^/]+/public\.user$`, mark(first.owner, provider.UserTables{}))
	require.Equal(t, mark(first.owner, provider.UserTables{}), mark(first.reader, provider.UserTables{}), "whoever reads it")
	require.NotEqual(t, mark(first.owner, provider.UserTables{}), mark(second.owner, provider.UserTables{}))
	require.NotEqual(t, mark(first.owner, provider.UserTables{}), mark(first.owner, provider.UserTables{Schema: "auth"}))
	require.NotContains(t, mark(first.reader, provider.UserTables{}), password)
}
