package clientstest_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	capydbauth "github.com/authsync/authsync/internal/generate/testdata/go"
)

// The golden file of the Go target, which is what the command writes, reads every relation.
func TestGoReadsTheMirror(t *testing.T) {
	t.Parallel()
	pool := mirror(t)
	users := read[capydbauth.User](t, pool, "users")
	require.Len(t, users, 2)
	require.Equal(t, "ada@example.com", *users[0].Email)
	require.JSONEq(t, `{"a": [1]}`, string(users[0].Raw))
	require.Nil(t, users[1].CreatedAt)
	members := read[capydbauth.ActiveMembership](t, pool, "active_memberships")
	require.Equal(t, []string{"admin", "billing"}, members[0].Roles)
	read[capydbauth.Organization](t, pool, "organizations")
	read[capydbauth.Membership](t, pool, "memberships")
	read[capydbauth.Invitation](t, pool, "invitations")
	read[capydbauth.Session](t, pool, "sessions")
	read[capydbauth.ActiveUser](t, pool, "active_users")
	read[capydbauth.ActiveOrganization](t, pool, "active_organizations")
	read[capydbauth.UserEmail](t, pool, "user_emails")
	read[capydbauth.UserIdentity](t, pool, "user_identities")
	read[capydbauth.UserPhone](t, pool, "user_phones")
}

// read reads what a struct declares of a relation.
func read[Row any](t *testing.T, pool *pgxpool.Pool, relation string) []Row {
	t.Helper()
	var columns []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		columns = append(columns, field.Tag.Get("db"))
	}
	rows, err := pool.Query(t.Context(), `SELECT `+strings.Join(columns, ", ")+` FROM capydb_auth.`+relation+` ORDER BY 1`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Row])
	require.NoError(t, err)
	return all
}
