package config_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/retention"
)

func lookup(env map[string]string) config.Lookup {
	return func(name string) string { return env[name] }
}

func TestLoad(t *testing.T) {
	t.Parallel()

	t.Run("NothingSetGivesTheDefaults", func(t *testing.T) {
		t.Parallel()
		c, err := config.Load(lookup(nil))
		require.NoError(t, err)
		require.Equal(t, ".authsync", c.DataDir)
		require.Equal(t, "127.0.0.1:8080", c.Listen)
		require.Equal(t, config.Roles{Receiver: true, Worker: true, API: true}, c.Roles)
		require.EqualValues(t, 1<<20, c.MaxBodyBytes)
		require.Equal(t, 30*24*time.Hour, c.InboxRetention)
		require.Equal(t, slog.LevelInfo, c.LogLevel)
		require.Equal(t, config.JSON, c.LogFormat)
		require.Empty(t, c.DatabaseURL)
		require.False(t, c.IsSet("AUTHSYNC_LISTEN"))
	})

	t.Run("EveryValueIsTakenOver", func(t *testing.T) {
		t.Parallel()
		c, err := config.Load(lookup(map[string]string{
			"AUTHSYNC_DATA_DIR":               "/srv/data",
			"AUTHSYNC_LISTEN":                 ":9000",
			"AUTHSYNC_PUBLIC_URL":             "https://hooks.example.com/",
			"DATABASE_URL":                    " postgres://u:p@h/d\n",
			"AUTHSYNC_ENCRYPTION_KEY":         " key\n",
			"AUTHSYNC_ROLES":                  "worker, api",
			"AUTHSYNC_URL":                    "http://127.0.0.1:1",
			"AUTHSYNC_API_KEY":                "capy_live_x",
			"AUTHSYNC_MAX_BODY_BYTES":         "4096",
			"AUTHSYNC_BODY_MEMORY_BYTES":      "8388608",
			"AUTHSYNC_MAX_CONNECTIONS":        "100",
			"AUTHSYNC_TRUSTED_PROXIES":        "10.0.0.0/8,192.0.2.7",
			"AUTHSYNC_METRICS_LISTEN":         "127.0.0.1:9100",
			"AUTHSYNC_DRAIN_DELAY":            "3s",
			"AUTHSYNC_INBOX_RETENTION":        "0",
			"AUTHSYNC_LEDGER_RETENTION":       "24h",
			"AUTHSYNC_CHANGES_RETENTION":      "48h",
			"AUTHSYNC_DELIVERIES_RETENTION":   "72h",
			"AUTHSYNC_PROJECT_QUOTA_BYTES":    "1073741824",
			"AUTHSYNC_WORKERS":                "3",
			"AUTHSYNC_DATABASE_CONNECTIONS":   "5",
			"AUTHSYNC_PULL_CONNECTIONS":       "7",
			"AUTHSYNC_SHUTDOWN_TIMEOUT":       "2s",
			"AUTHSYNC_ALLOW_TARGETS":          "10.1.0.0/16, Billing.internal,192.168.1.7",
			"AUTHSYNC_ALLOW_DATABASE_TARGETS": "private, 127.0.0.1",
			"AUTHSYNC_ALLOW_ALERT_TARGETS":    "127.0.0.1",
			"AUTHSYNC_DATABASE_LIMIT_BYTES":   "2147483648",
			"AUTHSYNC_ALERT_URLS":             "https://a.example.com/x, http://10.0.0.7/y",
			"AUTHSYNC_ALERT_SLACK_URLS":       "https://hooks.example.com/services/T0/B0/x",
			"AUTHSYNC_ALERT_SECRET":           "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
			"AUTHSYNC_LOG_LEVEL":              "debug",
			"AUTHSYNC_LOG_FORMAT":             "text",
			"AUTHSYNC_LOG_OUTCOMES":           "failed",
		}))
		require.NoError(t, err)
		require.Equal(t, "/srv/data", c.DataDir)
		require.Equal(t, ":9000", c.Listen)
		require.Equal(t, "https://hooks.example.com", c.PublicURL)
		require.Equal(t, "postgres://u:p@h/d", c.DatabaseURL.Reveal())
		require.Equal(t, "key", c.EncryptionKey.Reveal())
		require.Equal(t, config.Roles{Worker: true, API: true}, c.Roles)
		require.Equal(t, "http://127.0.0.1:1", c.URL)
		require.Equal(t, "capy_live_x", c.APIKey.Reveal())
		require.EqualValues(t, 4096, c.MaxBodyBytes)
		require.EqualValues(t, 8<<20, c.BodyMemoryBytes)
		require.Equal(t, 100, c.MaxConnections)
		require.Equal(t, "10.0.0.0/8,192.0.2.7", c.TrustedProxies.String())
		require.Equal(t, "127.0.0.1:9100", c.MetricsListen)
		require.Equal(t, 3*time.Second, c.DrainDelay)
		require.Equal(t, retention.Defaults{Ledger: 24 * time.Hour, Changes: 48 * time.Hour, Deliveries: 72 * time.Hour}, c.Retention())
		require.EqualValues(t, 1<<30, c.ProjectQuotaBytes)
		require.Equal(t, 3, c.Workers)
		require.Equal(t, 5, c.DatabaseConnections)
		require.Equal(t, 7, c.PullConnections)
		require.Equal(t, 2*time.Second, c.ShutdownTimeout)
		require.Equal(t, "10.1.0.0/16,192.168.1.7/32,billing.internal", c.AllowTargets.String())
		require.Equal(t, "private,127.0.0.1/32", c.AllowDatabaseTargets.String())
		require.Equal(t, "127.0.0.1/32", c.AllowAlertTargets.String())
		require.EqualValues(t, 2<<30, c.DatabaseLimitBytes)
		require.Equal(t, []string{"https://a.example.com/x", "http://10.0.0.7/y"}, config.SplitURLs(c.AlertURLs))
		require.Equal(t, []string{"https://hooks.example.com/services/T0/B0/x"}, config.SplitURLs(c.AlertSlackURLs))
		require.Equal(t, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", c.AlertSecret.Reveal())
		require.Equal(t, slog.LevelDebug, c.LogLevel)
		require.Equal(t, config.Text, c.LogFormat)
		require.Equal(t, config.FailedOutcomes, c.LogOutcomes)
		require.True(t, c.IsSet("AUTHSYNC_LISTEN"))
		for _, row := range c.Table() {
			require.Equal(t, !strings.HasSuffix(row.Name, "_FILE"), row.Set, row.Name) // either, not both
		}
	})

	t.Run("AllFaultsAreReportedAtOnce", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(lookup(map[string]string{
			"AUTHSYNC_LISTEN":           "8080",
			"AUTHSYNC_PUBLIC_URL":       "hooks.example.com",
			"AUTHSYNC_ROLES":            "receiver,cook",
			"AUTHSYNC_MAX_BODY_BYTES":   "12",
			"AUTHSYNC_INBOX_RETENTION":  "30 days",
			"AUTHSYNC_LOG_LEVEL":        "loud",
			"AUTHSYNC_LOG_FORMAT":       "xml",
			"AUTHSYNC_LOG_OUTCOMES":     "none",
			"AUTHSYNC_SHUTDOWN_TIMEOUT": "0s",
			"AUTHSYNC_ALLOW_TARGETS":    "10.1.2.3/16",
		}))
		require.EqualError(t, err, `AUTHSYNC_LISTEN is "8080": it takes host:port, such as 127.0.0.1:8080 or :8080; `+
			`AUTHSYNC_PUBLIC_URL is "hooks.example.com": it takes a base URL such as https://authsync.example.com; `+
			`AUTHSYNC_ROLES is "receiver,cook": it takes one or more of receiver, worker and api, separated by commas; `+
			`AUTHSYNC_MAX_BODY_BYTES is "12": it takes a whole number from 1024 to 67108864; `+
			`AUTHSYNC_INBOX_RETENTION is "30 days": it takes a duration such as 30s, 15m or 720h, at least 0s; `+
			`AUTHSYNC_SHUTDOWN_TIMEOUT is "0s": it takes a duration such as 30s, 15m or 720h, at least 1s; `+
			`AUTHSYNC_ALLOW_TARGETS is "10.1.2.3/16": "10.1.2.3/16" begins within its range: `+
			`write 10.1.0.0/16 for the range or 10.1.2.3 for the address; `+
			`AUTHSYNC_LOG_LEVEL is "loud": it takes debug, info, warn or error; `+
			`AUTHSYNC_LOG_FORMAT is "xml": it takes json or text; `+
			`AUTHSYNC_LOG_OUTCOMES is "none": it takes all or failed`)
	})
}

// Files of variables that no shell has read (docker run --env-file) keep quotation marks.
func TestPastedVariablesAreCleanedOrRefused(t *testing.T) {
	t.Parallel()
	_, err := config.Load(lookup(map[string]string{"AUTHSYNC_ENCRYPTION_KEY": " 'one' , \ufefftwo\u200b\n"}))
	require.ErrorContains(t, err, "AUTHSYNC_ENCRYPTION_KEY key 1 begins and ends with a quotation mark")
	require.NotContains(t, err.Error(), "one")

	c, err := config.Load(lookup(map[string]string{
		"AUTHSYNC_API_KEY": "\"capy_live_x\"", "AUTHSYNC_ENCRYPTION_KEY": "\"one , \ufefftwo\u200b\"\n", "DATABASE_URL": "“postgres://u:p@h/d”\r\n",
		"AUTHSYNC_LISTEN": "'127.0.0.1:0'", "AUTHSYNC_PUBLIC_URL": "https://hooks.example.com/\u00a0", "AUTHSYNC_WORKERS": "\ufeff3", "AUTHSYNC_LOG_FORMAT": `""`,
	}))
	require.NoError(t, err)
	require.Equal(t, "capy_live_x", c.APIKey.Reveal())
	require.Equal(t, "one,two", c.EncryptionKey.Reveal())
	require.Equal(t, "postgres://u:p@h/d", c.DatabaseURL.Reveal())
	require.Equal(t, "127.0.0.1:0", c.Listen)
	require.Equal(t, "https://hooks.example.com", c.PublicURL)
	require.Equal(t, 3, c.Workers)
	require.Equal(t, config.JSON, c.LogFormat, "nothing between quotation marks is nothing")

	_, err = config.Load(lookup(map[string]string{"AUTHSYNC_API_KEY": "capy_\u200blive_x"}))
	require.ErrorContains(t, err, "AUTHSYNC_API_KEY holds a zero-width character (U+200B) at character 6")
}

func TestRequire(t *testing.T) {
	t.Parallel()
	c, err := config.Load(lookup(map[string]string{"DATABASE_URL": "postgres://h/d"}))
	require.NoError(t, err)
	require.NoError(t, c.Require("DATABASE_URL", "AUTHSYNC_LISTEN"))
	require.EqualError(t, c.Require("DATABASE_URL", "AUTHSYNC_ENCRYPTION_KEY", "AUTHSYNC_API_KEY"),
		"AUTHSYNC_ENCRYPTION_KEY is not set: 32 random bytes in base64 that seal all credentials "+
			"(openssl rand -base64 32); old keys may follow, separated by commas; "+
			"AUTHSYNC_API_KEY is not set: the key that commands show the server (capy_live_… or capy_test_…)")
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	c, err := config.Load(lookup(map[string]string{
		"DATABASE_URL":            "postgres://u:hunter2@h/d",
		"AUTHSYNC_ENCRYPTION_KEY": "hunter2",
		"AUTHSYNC_API_KEY":        "hunter2",
	}))
	require.NoError(t, err)
	table, err := json.Marshal(c.Table())
	require.NoError(t, err)
	key, err := json.Marshal(c.APIKey)
	require.NoError(t, err)
	for _, printed := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), string(table), string(key),
		slog.AnyValue(c.APIKey).Resolve().String(),
	} {
		require.NotContains(t, printed, "hunter2")
	}
	require.Contains(t, string(table), `"value":"***"`)
}

// URLs of the operator's webhooks hold secrets, so a wrong one is not quoted.
func TestAlertSettings(t *testing.T) {
	t.Parallel()
	_, err := config.Load(lookup(map[string]string{
		"AUTHSYNC_ALERT_URLS": "https://a.example.com/x,ftp://token@b", "AUTHSYNC_ALERT_SLACK_URLS": "token", "AUTHSYNC_ALERT_SECRET": "whsec_c2hvcnQ=",
	}))
	require.EqualError(t, err, "AUTHSYNC_ALERT_URLS takes URLs such as https://alerts.example.com/hook, separated by commas; number 2 is none; "+
		"AUTHSYNC_ALERT_SLACK_URLS takes URLs such as https://alerts.example.com/hook, separated by commas; number 1 is none; "+
		"AUTHSYNC_ALERT_SECRET takes whsec_ and the base64 of 24 to 64 random bytes (openssl rand -base64 32 makes them)")
}
