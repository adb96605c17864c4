package pgdb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
)

func tenantConfig(t *testing.T, text string) *pgx.ConnConfig {
	t.Helper()
	config, err := (&pgdb.Tenants{}).ConnConfig(text, pgdb.Options{})
	require.NoError(t, err, text)
	return config
}

func operatorConfig(t *testing.T, text string) *pgx.ConnConfig {
	t.Helper()
	config, err := (*pgdb.Tenants)(nil).ConnConfig(text, pgdb.Options{})
	require.NoError(t, err, text)
	return config
}

// The operator's secrets must not reach a tenant's connection.
func TestTenantURLTakesNothingFromTheEnvironment(t *testing.T) {
	home := t.TempDir()
	passfile := filepath.Join(home, ".pgpass")
	require.NoError(t, os.WriteFile(passfile, []byte("*:*:*:*:from-the-file\n"), 0o600))
	services := filepath.Join(home, "services")
	require.NoError(t, os.WriteFile(services, []byte("[ops]\npassword=from-the-service\nuser=operator\nsearch_path=evil\npool_max_conns=77\n"+
		"default_query_exec_mode=exec\n"), 0o600))
	const (
		bare     = "postgres://app@db.example.com/shop?sslmode=disable"
		empty    = "postgres://app:@db.example.com/shop?sslmode=disable"
		inQuery  = "postgres://db.example.com/shop?user=app&sslmode=disable"
		withTLS  = "postgres://app@db.example.com/shop?sslmode=require"
		password = "postgres://app:own@db.example.com/shop?sslmode=disable"
	)
	for name, c := range map[string]struct{ variable, value string }{
		"Password":      {"PGPASSWORD", "from-the-environment"},
		"File":          {"PGPASSFILE", passfile},
		"Home":          {"HOME", home},
		"Service":       {"PGSERVICE", "ops"},
		"Certificate":   {"PGSSLCERT", "/operator.crt"},
		"Authority":     {"PGSSLROOTCERT", "/operator-ca.crt"},
		"User":          {"PGUSER", "operator"},
		"Port":          {"PGPORT", "7777"},
		"Options":       {"PGOPTIONS", "-c default_transaction_isolation=serializable"},
		"Name":          {"PGAPPNAME", "operator"},
		"Zone":          {"PGTZ", "Asia/Tokyo"},
		"Binding":       {"PGCHANNELBINDING", "require"},
		"Authorization": {"PGREQUIREAUTH", "none"},
		"Attributes":    {"PGTARGETSESSIONATTRS", "standby"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGSERVICEFILE", services)
			t.Setenv(c.variable, c.value)
			if c.variable == "PGSSLCERT" {
				t.Setenv("PGSSLKEY", "/operator.key") // reading it would fail
			}
			for _, given := range []string{bare, empty, inQuery, withTLS} {
				config := tenantConfig(t, given)
				require.Empty(t, config.Password, given)
				require.Equal(t, "app", config.User)
				require.Equal(t, "db.example.com", config.Host)
				require.Equal(t, uint16(5432), config.Port)
				require.Equal(t, "shop", config.Database)
				require.Equal(t, pgx.QueryExecModeCacheStatement, config.DefaultQueryExecMode)
				require.Equal(t, "prefer", config.ChannelBinding)
				require.Empty(t, config.RequireAuth)
				require.Nil(t, config.ValidateConnect)
				if config.TLSConfig != nil {
					require.Empty(t, config.TLSConfig.Certificates)
					require.Nil(t, config.TLSConfig.RootCAs)
				}
				require.Equal(t, map[string]string{
					"application_name": "authsync", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "TimeZone": "UTC", "standard_conforming_strings": "on",
				}, config.RuntimeParams)
			}
			require.Equal(t, "own", tenantConfig(t, password).Password)
		})
	}
}

// meaning holds parameters that would change what a statement or a pool does.
var meaning = map[string]string{ //nolint:gochecknoglobals // a table of two tests
	"default_query_exec_mode=simple_protocol": "but authsync decides how statements are sent",
	"default_query_exec_mode=exec":            "but authsync decides how statements are sent",
	"statement_cache_capacity=0":              "but authsync decides how statements are sent",
	"description_cache_capacity=0":            "but authsync decides how statements are sent",
	"standard_conforming_strings=off":         "but authsync decides how statements are sent",
	"pool_max_conns=3":                        "but authsync sizes its own pools",
	"pool_min_conns=3":                        "but authsync sizes its own pools",
	"pool_max_conn_lifetime=1ms":              "but authsync sizes its own pools",
	"connection_limit=1":                      "but authsync sizes its own pools",
	"search_path=public":                      "but authsync qualifies every name with its schema",
	"schema=public":                           "but authsync qualifies every name with its schema",
	"options=-c%20search_path%3Dx":            "ALTER ROLE … SET",
	"pgbouncer=true":                          "detects poolers by itself",
	"hostaddr=127.0.0.1":                      "use the address as the host",
	"client_encoding=LATIN1":                  "must be one of UTF8",
	"statement_timeout=1":                     "has an unknown parameter statement_timeout: remove it",
	"default_transaction_read_only=on":        "has an unknown parameter default_transaction_read_only",
	"session_replication_role=replica":        "has an unknown parameter session_replication_role",
	"role=postgres":                           "has an unknown parameter role",
	"sslmode=bogus":                           "has an invalid value of sslmode: must be one of disable, allow, prefer, require",
	"sslmode=":                                "has an invalid value of sslmode",
	"sslmode":                                 "has a parameter without a value",
	"sslmode=require&sslmode=disable":         "sets sslmode twice",
	"ssl=maybe":                               "has an unknown parameter ssl",
	"connect_timeout=abc":                     "has an invalid connect_timeout: must be whole seconds from 1 to 600",
	"connect_timeout=0":                       "has an invalid connect_timeout",
	"connect_timeout=5s":                      "has an invalid connect_timeout",
	"target_session_attrs=master":             "has an invalid value of target_session_attrs",
	"sslrootcert=system":                      "needs sslmode=verify-full",
	"sslrootcert=system&sslmode=require":      "requires sslmode=verify-full",
	"sslnegotiation=direct&sslmode=prefer":    "requires sslmode=require",
	"require_auth=kerberos":                   "has an unknown require_auth",
	"channel_binding=yes":                     "has an invalid value of channel_binding",
	"application_name=%00":                    "has a % that begins no escape",
	"port=99999":                              "has an invalid port",
	"port=0":                                  "has an invalid port",
	"port=5432x":                              "has an invalid port",
	"port=1,2":                                "has more or fewer ports than hosts",
}

func TestParametersThatChangeWhatWeMeanAreRefusedByName(t *testing.T) {
	t.Parallel()
	for query, says := range meaning {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(says, "needs sslmode=verify-full") {
				says = "requires sslmode=verify-full"
			}
			text := "postgres://u:s3cret@db.example.com/shop?" + query
			_, err := pgdb.CheckTenantURL(text)
			require.ErrorContains(t, err, says)
			require.ErrorIs(t, err, pgdb.ErrBadURL)
			require.NotContains(t, err.Error(), "s3cret")
			_, err = pgdb.CheckURL(text)
			require.ErrorContains(t, err, says, "the operator's URL is no other")
			_, err = (&pgdb.Tenants{}).ConnConfig(text, pgdb.Options{})
			require.ErrorContains(t, err, says, "it is checked again when it is used")
			_, err = pgdb.Open(t.Context(), text, pgdb.Options{})
			require.ErrorContains(t, err, says)
		})
	}
}

func TestTenantURLIsRefused(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		"":                                       "is not a PostgreSQL connection URL",
		"s3cret":                                 "is not a PostgreSQL connection URL",
		"host=db dbname=shop password=s3cret":    "is not a PostgreSQL connection URL",
		"mysql://u:s3cret@db/shop":               "is not a PostgreSQL connection URL",
		"postgres:u:s3cret@db/shop":              "is not a PostgreSQL connection URL",
		"postgres:///shop":                       "has no host",
		"postgres://u:s3cret@/shop":              "has no host",
		"postgres://u:s3cret@:5432/shop":         "has no host",
		"postgres://u:s3cret@db,/shop":           "has no host",
		"postgres://u:s3cret@db/shop?host=":      "sets host twice",
		"postgres://u:s3cret@db/shop?host=other": "sets host twice",
		"postgres://u:s3cret@/shop?host=":        "has no host",
		"postgres://u:s3cret@db":                 "has no database name",
		"postgres://u:s3cret@db/":                "has no database name",
		"postgres://u:s3cret@db?sslmode=disable": "has no database name",
		"postgres://u:s3cret@db/a/b":             "has a database name that contains a /",
		"postgres://db/shop":                     "has no user",
		"postgres://:s3cret@db/shop":             "has no user",
		"postgres://u:s3cret@h:port/shop":        "has an invalid port",
		"postgres://u:s3cret@h:99999/shop":       "has an invalid port",
		"postgres://u:s3cret@h:-1/shop":          "has an invalid port",
		"postgres://u:s3cret@[::1/shop":          "with [ but no ]",
		"postgres://u:s3cret@a b/shop":           "contains a space or an invisible character",
		"postgres://u:s3cret@h/sh\u200bop":       "contains a space or an invisible character",
		"postgres://u:s3cret@h/\nshop":           "contains a line break",
		"postgres://u:s3cret@h;x/shop":           "has a host that is neither a name nor an address",
		"postgres://u:s3cret@h\\x/shop":          "has a host that is neither a name nor an address",
		"\"postgres://u:s3cret@h/shop\"":         "is in quotation marks",
		"'postgres://u:s3cret@h/shop'":           "is in quotation marks",
		"`postgres://u:s3cret@h/shop`":           "is in quotation marks",
		"postgres://u:s3cret@h/shop\"":           "is in quotation marks",
		"postgres://u:s3cret%zz@h/shop":          "has a % that begins no escape",
		"postgres://u:s3/cret@h/shop":            "has an @ after the host",
		"postgres://u:s3?cret=x@h/shop":          "has an @ after the host",
		"postgres://u:s3#cret@h/shop":            "contains a #",

		"postgres://u@/shop?host=/run/postgresql":                     "names a local socket",
		"postgres://u@%2Frun%2Fpostgresql/shop":                       "names a local socket",
		"postgres://u@/shop?host=%2Frun%2Fpostgresql":                 "names a local socket",
		"postgres://u@db,%2Frun%2Fpostgresql/shop":                    "names a local socket",
		"postgres://u@/shop?host=db,/run/postgresql":                  "names a local socket",
		"postgres://u@%40abstract/shop":                               "names a local socket",
		"postgres://u@/shop?host=%40abstract":                         "names a local socket",
		"postgres://u@db/shop?passfile=/root/.pgpass":                 "has the parameter passfile, which names a file on the server",
		"postgres://u@db/shop?service=ops":                            "has the parameter service, which names a file on the server",
		"postgres://u@db/shop?servicefile=/etc/pg.conf":               "has the parameter servicefile, which names a file on the server",
		"postgres://u@db/shop?sslcert=/a&sslkey=/b":                   "has the parameter sslcert, which names a file on the server",
		"postgres://u@db/shop?sslkey=/b":                              "has the parameter sslkey, which names a file on the server",
		"postgres://u@db/shop?sslrootcert=/dev/zero":                  "has the parameter sslrootcert, which names a file on the server",
		"postgres://u@db/shop?sslmode=verify-full&sslrootcert=/ca":    "has the parameter sslrootcert, which names a file on the server",
		"postgres://u@db/shop?sslpassword=s3cret":                     "has the parameter sslpassword",
		"postgres://u@db/shop?sslcertmode=allow":                      "has the parameter sslcertmode",
		"postgres://u@db/shop?krbsrvname=x":                           "has the parameter krbsrvname",
		"postgres://u@db/shop?sslcrl=/crl":                            "has the parameter sslcrl",
		"postgres://u@db/shop?pass%66ile=/root/.pgpass":               "has the parameter passfile, which names a file on the server",
		"managed://u:s3cret@/shop":                                    "is not a PostgreSQL connection URL",
		"postgres://u@db/shop?dbname=other":                           "sets dbname twice",
		"postgres://u@db/shop?user=other":                             "sets user twice",
		"postgres://u:s3cret@db/shop?password=other":                  "sets password twice",
		"postgres://u@db:1/shop?port=2":                               "sets port twice",
		"postgres://u@db/shop?" + strings.Repeat("x", 100) + "=1":     "has an unknown parameter " + strings.Repeat("x", 40) + "…",
		"postgres://u@db/shop?\u00e4=1":                               "has an unknown parameter \"\u00e4\"",
		"postgres://u:s3cret@db1:5432,db2:port/shop?sslmode=disable":  "has an invalid port",
		"postgres://u:s3cret@db1:5432,db2:0/shop?sslmode=disable":     "has an invalid port",
		"postgres://u:s3cret@db1,db2,db3/shop?port=1,2&sslmode=allow": "has more or fewer ports than hosts",
	} {
		_, err := pgdb.CheckTenantURL(given)
		require.ErrorContains(t, err, says, given)
		require.NotContains(t, err.Error(), "s3cret", given)
		require.NotContains(t, err.Error(), "cret=", given)
	}
}

func TestTenantURLIsTaken(t *testing.T) {
	t.Parallel()
	type where struct {
		user, password, host string
		port                 uint16
		database             string
	}
	usual := where{"u", "p", "db.example.com", 5432, "shop"}
	for given, want := range map[string]where{
		"postgres://u:p@db.example.com/shop":                     usual,
		"postgresql://u:p@db.example.com:5432/shop":              usual,
		"POSTGRES://u:p@db.example.com/shop":                     usual,
		"\u0020postgres://u:p@db.example.com/shop\n":             usual,
		"\ufeffpostgres://u:p@db.example.com/shop\r\n":           usual,
		"\u200bpostgres://u:p@db.example.com/shop\u00a0":         usual,
		"postgres://db.example.com/shop?user=u&password=p":       usual,
		"postgres:///shop?user=u&password=p&host=db.example.com": usual,
		"postgres://u:p@db.example.com?dbname=shop":              usual,
		"postgres://u:p@db.example.com/shop?keepalives=1&keepalives_idle=30&tcp_user_timeout=9&gssencmode=disable&fallback_application_name=x&client_encoding=utf8": usual,
		"postgres://u:p@10.0.0.5:6543/shop":                {"u", "p", "10.0.0.5", 6543, "shop"},
		"postgres://u:p@[fd00::5]:6543/shop":               {"u", "p", "fd00::5", 6543, "shop"},
		"postgres://u:p@[fd00::5]/shop":                    {"u", "p", "fd00::5", 5432, "shop"},
		"postgres://u:p%40%2F%3F%23%25+x@h/shop":           {"u", "p@/?#%+x", "h", 5432, "shop"},
		"postgres://u:p:q@h/shop":                          {"u", "p:q", "h", 5432, "shop"},
		"postgres://u:a@b@h/shop":                          {"u", "a@b", "h", 5432, "shop"}, // the last @ ends the password, for us and for pgx
		"postgres://user%40tenant:it's\\%27@h/it%27s%20a":  {"user@tenant", `it's\'`, "h", 5432, "it's a"},
		"postgres://u:p@h1:1111,h2:2222/shop":              {"u", "p", "h1", 1111, "shop"},
		"postgres://u:p@h1,h2/shop?port=1111":              {"u", "p", "h1", 1111, "shop"},
		"postgres://u:p@h/shop?ssl=true":                   {"u", "p", "h", 5432, "shop"},
		"postgres://u:p@h/shop?application_name=mine":      {"u", "p", "h", 5432, "shop"},
		"postgres://u:%20@h/shop?target_session_attrs=any": {"u", " ", "h", 5432, "shop"},
	} {
		tidy, err := pgdb.CheckTenantURL(given)
		require.NoError(t, err, given)
		require.NotContains(t, tidy, "\n")
		config := tenantConfig(t, tidy)
		require.Equal(t, want, where{config.User, config.Password, config.Host, config.Port, config.Database}, given)
	}
	require.NotNil(t, tenantConfig(t, "postgres://u@h/shop?ssl=true").TLSConfig)
	two := tenantConfig(t, "postgres://u:p@h1:1111,h2:2222/shop?sslmode=require&target_session_attrs=read-write")
	require.Len(t, two.Fallbacks, 1, "no unencrypted one")
	require.Equal(t, "h2", two.Fallbacks[0].Host)
	require.NotNil(t, two.Fallbacks[0].TLSConfig)
	require.NotNil(t, two.ValidateConnect)
	whole := tenantConfig(t, "postgres://u:p@h/shop?sslmode=verify-full&sslrootcert=system")
	require.Equal(t, "h", whole.TLSConfig.ServerName)
	require.False(t, whole.TLSConfig.InsecureSkipVerify)
	require.Empty(t, whole.Fallbacks)
}

// The operator's own URL may use the server's files and settings.
func TestOperatorURL(t *testing.T) {
	t.Setenv("PGHOST", "from.the.environment")
	t.Setenv("PGUSER", "operator")
	t.Setenv("PGPASSWORD", "theirs")
	t.Setenv("PGOPTIONS", "-c default_transaction_isolation=serializable")
	for given, want := range map[string]struct{ user, host, database string }{
		"postgres:///authsync":                                         {"operator", "from.the.environment", "authsync"},
		"postgres:///authsync?host=/run/postgresql":                    {"operator", "/run/postgresql", "authsync"},
		"postgres://me@%2Frun%2Fpostgresql:5433/authsync":              {"me", "/run/postgresql", "authsync"},
		"host=/run/postgresql dbname=authsync":                         {"operator", "/run/postgresql", "authsync"},
		"host = db  user='me' dbname='it\\'s' password='p w\\\\'":      {"me", "db", "it's"},
		"dbname=authsync":                                              {"operator", "from.the.environment", "authsync"},
		"user=me host=db dbname=authsync sslmode=disable keepalives=1": {"me", "db", "authsync"},
	} {
		tidy, err := pgdb.CheckURL(given)
		require.NoError(t, err, given)
		config := operatorConfig(t, tidy)
		require.Equal(t, want, struct{ user, host, database string }{config.User, config.Host, config.Database}, given)
		require.NotContains(t, config.RuntimeParams, "options", "the session is ours")
	}
	for given, says := range map[string]string{
		"host=db pool_max_conns=9":                            "but authsync sizes its own pools",
		"host=db options='-c jit=on'":                         "ALTER ROLE … SET",
		"host=db dbname":                                      "is not a PostgreSQL connection URL",
		"host=db password='s3cret":                            "has an unclosed '",
		"host=db host=other":                                  "sets host twice",
		"host=db s3 cret=x":                                   "is not a PostgreSQL connection URL",
		"postgres://u:s3cret@h/d?sslcert=/a":                  "has only one of sslcert and sslkey",
		"postgres://u:s3cret@h/d?sslrootcert=/no/such/ca.pem": "names a file that cannot be read: open /no/such/ca.pem",
	} {
		_, err := pgdb.Open(t.Context(), given, pgdb.Options{})
		require.ErrorContains(t, err, says, given)
		require.NotContains(t, err.Error(), "cret=")
		require.NotContains(t, err.Error(), "s3cret")
	}
	t.Setenv("PGSSLMODE", "s0metimes")
	_, err := pgdb.Open(t.Context(), "postgres://u:s3cret@h/d", pgdb.Options{})
	require.ErrorContains(t, err, "conflicts with the PG* environment variables of this process")
}

// Both parsers must find the same host.
func FuzzTenantURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://u:p@h/d", "postgres://u:p@h1:1,h2:2/d?sslmode=require", "postgres://u:a@b@h/d", "postgres:///d?host=/tmp&user=u",
		"postgres://u@[::1]:1/d", "postgres://u:%20'\\@h/d?application_name=x'y", "postgres://u@h/d?user=u&sslrootcert=system&sslmode=verify-full",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tidy, err := pgdb.CheckTenantURL(text)
		if err != nil {
			require.ErrorIs(t, err, pgdb.ErrBadURL)
			return
		}
		config, err := (&pgdb.Tenants{}).ConnConfig(tidy, pgdb.Options{})
		require.NoError(t, err)
		require.NotEmpty(t, config.User)
		require.NotEmpty(t, config.Database)
		hosts := []string{config.Host}
		for _, fallback := range config.Fallbacks {
			hosts = append(hosts, fallback.Host)
		}
		for _, host := range hosts {
			require.NotContains(t, host, "/")
			require.NotContains(t, host, "@")
			require.NotEmpty(t, host)
		}
		require.Len(t, config.RuntimeParams, 5)
		again, err := (&pgdb.Tenants{}).URL(tidy)
		require.NoError(t, err)
		same, err := (&pgdb.Tenants{}).ConnConfig(again, pgdb.Options{})
		require.NoError(t, err)
		require.Equal(t, []any{config.User, config.Password, config.Host, config.Port, config.Database},
			[]any{same.User, same.Password, same.Host, same.Port, same.Database})
	})
}
