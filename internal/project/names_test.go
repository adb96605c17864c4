package project

import (
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

func TestFormsNameEachFieldOfTheirStruct(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		forms map[string]string
		of    reflect.Type
	}{
		{credentialForms(), reflect.TypeFor[provider.Credentials]()},
		{optionForms(), reflect.TypeFor[provider.Options]()},
	} {
		require.Len(t, tc.forms, tc.of.NumField(), "%s", tc.of)
		for field := range tc.of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.NotEmpty(t, tc.forms[name], "%s.%s", tc.of, field.Name)
		}
	}
}

func TestProjectDatabaseIsNamedAfterBoth(t *testing.T) {
	t.Parallel()
	require.Equal(t, "authsync_demo", databaseName("authsync", "demo"))

	long := databaseName(strings.Repeat("ä", 31), strings.Repeat("a", 60))
	require.LessOrEqual(t, len(long), 63)
	require.True(t, strings.HasPrefix(long, "ääää"))
	require.NotContains(t, long, "\uFFFD")
	require.NotEqual(t, long, databaseName(strings.Repeat("ä", 31), strings.Repeat("a", 61)), "what differs only at the end stays different")
}

func TestDatabaseOfAConnectionStringIsReplaced(t *testing.T) {
	t.Parallel()
	for name, connString := range map[string]string{
		"URL":      "postgres://me:p%40ss@db.example.com:5433/control?sslmode=disable&pool_max_conns=7&options=-c%20work_mem%3D8MB",
		"Socket":   "postgresql://me:p%40ss@/control?host=db.example.com&port=5433&sslmode=disable&options=-c%20work_mem%3D8MB",
		"Keywords": `host=db.example.com port=5433 user=me password=p@ss dbname=control sslmode=disable options='-c work_mem=8MB'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replaced := replaceDatabase(connString, "it's")
			config, err := pgx.ParseConfig(replaced)
			require.NoError(t, err)
			require.Equal(t, "it's", config.Database)
			require.Equal(t, "db.example.com", config.Host)
			require.Equal(t, uint16(5433), config.Port)
			require.Equal(t, "me", config.User)
			require.Equal(t, "p@ss", config.Password)
			require.Equal(t, map[string]string{"options": "-c work_mem=8MB"}, config.RuntimeParams)
			require.NotContains(t, replaced, "+", "psql would not take it for a space")
		})
	}
}
