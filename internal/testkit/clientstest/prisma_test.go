package clientstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// Prisma's own validator, without its engines, accepts the models beside those of an application.
func TestPrismaAcceptsTheModels(t *testing.T) {
	t.Parallel()
	dir := workspace(t, "schema.prisma", "validate.js")
	generated(t, "prisma", filepath.Join(dir, "capydb_auth.prisma"))
	output(t, dir, nil, "node", "validate.js", "schema.prisma", "capydb_auth.prisma")
}

// Who pulls our schema all the same, alone or beside tables that refer to it, gets one that is valid, with a model of each
// table.
func TestWhatPrismaPullsIsValid(t *testing.T) {
	t.Parallel()
	pool := mirror(t)
	_, err := pool.Exec(t.Context(), `
		CREATE TABLE public.orders (id text PRIMARY KEY, owner_id text NOT NULL REFERENCES capydb_auth.users (id));
		CREATE TABLE public.profiles (id bigint PRIMARY KEY, user_id text UNIQUE REFERENCES capydb_auth.users (id) ON DELETE SET NULL);
		CREATE TABLE public.users (id bigint PRIMARY KEY)`)
	require.NoError(t, err)
	for schemas, features := range map[string][]string{"capydb_auth": nil, "public,capydb_auth": {"views"}} {
		t.Run(schemas, func(t *testing.T) {
			t.Parallel()
			dir := workspace(t, "pull.mjs", "validate.js")
			output(t, dir, []string{"DATABASE_URL=" + pgtest.URL(t, pool)}, "node", append([]string{"pull.mjs", schemas}, features...)...)
			output(t, dir, nil, "node", "validate.js", "pulled.prisma")
			pulled, err := os.ReadFile(filepath.Join(dir, "pulled.prisma"))
			require.NoError(t, err)
			require.Len(t, models.FindAll(pulled, -1), relations(t, pool, schemas, features != nil))
			require.NotContains(t, string(pulled), "@ignore", "a table without a key")
			require.Equal(t, strings.Contains(schemas, "public"), otherSide.Match(pulled))
		})
	}
}

var (
	models    = regexp.MustCompile(`(?m)^(model|view) `)
	otherSide = regexp.MustCompile(`(?m)^ +orders +orders\[\]$`) // of the foreign key of orders, in the model of our users
)

// relations is how many tables, and views, some schemas have.
func relations(t *testing.T, pool *pgxpool.Pool, schemas string, views bool) (count int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `
		SELECT count(*) FROM pg_class
		WHERE relnamespace = ANY (string_to_array($1, ',')::regnamespace[]) AND (relkind = 'r' OR relkind = 'v' AND $2)`,
		schemas, views).Scan(&count))
	return count
}
