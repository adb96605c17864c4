package pgdb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
)

// The operator's secrets stay with the operator, whichever way they would come.
func TestGivenTakesNothingFromTheEnvironment(t *testing.T) {
	home := t.TempDir()
	passfile := filepath.Join(home, ".pgpass")
	require.NoError(t, os.WriteFile(passfile, []byte("*:*:*:*:from-the-file\n"), 0o600))
	services := filepath.Join(home, "services")
	require.NoError(t, os.WriteFile(services, []byte("[ops]\npassword=from-the-service\nuser=operator\n"), 0o600))
	const (
		bare     = "postgres://app@db.example.com/shop?sslmode=disable"
		empty    = "postgres://app:@db.example.com/shop?sslmode=disable"
		inQuery  = "postgres://db.example.com/shop?user=app&sslmode=disable"
		withTLS  = "postgres://app@db.example.com/shop?sslmode=require"
		password = "postgres://app:own@db.example.com/shop?sslmode=disable"
	)
	for name, c := range map[string]struct{ variable, value string }{
		"Password":    {"PGPASSWORD", "from-the-environment"},
		"File":        {"PGPASSFILE", passfile},
		"Home":        {"HOME", home},
		"Service":     {"PGSERVICE", "ops"},
		"Certificate": {"PGSSLCERT", "/operator.crt"},
		"User":        {"PGUSER", "operator"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGSERVICEFILE", services)
			t.Setenv(c.variable, c.value)
			if c.variable == "PGSSLCERT" {
				t.Setenv("PGSSLKEY", "/operator.key") // reading it would fail
			}
			for _, given := range []string{bare, empty, inQuery, withTLS} {
				alone, err := pgdb.Given(given)
				require.NoError(t, err, given)
				config, err := pgx.ParseConfig(alone)
				require.NoError(t, err, given)
				require.Empty(t, config.Password, given)
				require.Equal(t, "app", config.User)
				require.Equal(t, "db.example.com", config.Host)
				require.Equal(t, "shop", config.Database)
				if config.TLSConfig != nil {
					require.Empty(t, config.TLSConfig.Certificates)
				}
			}
			own, err := pgdb.Given(password)
			require.NoError(t, err)
			require.Equal(t, password, own, "one that is whole stays as it is")
		})
	}
}

func TestGivenRefuses(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		"":                             "is not a PostgreSQL connection URL",
		"host=db dbname=shop":          "is not a PostgreSQL connection URL",
		"mysql://u:p@db/shop":          "is not a PostgreSQL connection URL",
		"postgres:///shop":             "names no host",
		"postgres://u:p@/shop":         "names no host",
		"postgres://u:p@:5432/shop":    "names no host",
		"postgres://u:p@db,/shop":      "names no host",
		"postgres://u:p@db/shop?host=": "names no host",
		"postgres://u:p@db":            "names no database",
		"postgres://db/shop":           "names no user",
		"postgres://:p@db/shop":        "names no user",
		"postgres://u@db/shop?passfile=/root/.pgpass":   "names a file of the server by passfile",
		"postgres://u@db/shop?service=ops":              "names a file of the server by service",
		"postgres://u@db/shop?servicefile=/etc/pg.conf": "names a file of the server by servicefile",
	} {
		_, err := pgdb.Given(given)
		require.ErrorContains(t, err, says, given)
	}
}
