package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/clientaddr"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/pgdb"
)

// setting is one variable: its documentation, how its text is parsed into Config, and how it is
// shown.
type setting struct {
	name     string
	fallback string
	doc      string
	secret   bool
	unit     string // of a number or a time; empty for text
	since    string // the version that it came with; empty for the first one
	parse    func(c *Config, value string) error
	show     func(c *Config) string
}

// settings lists every variable in the order of the printed table.
func settings() []setting {
	var all []setting
	for _, s := range variables() {
		all = append(all, s)
		if s.secret {
			all = append(all, fileOf(s))
		}
	}
	return all
}

// variables are those without the files that secrets may be read from.
func variables() []setting {
	return []setting{
		text("AUTHSYNC_DATA_DIR", ".authsync",
			"where authsync dev keeps its database and connection.env",
			func(c *Config) *string { return &c.DataDir }),
		{
			name: "AUTHSYNC_LISTEN", fallback: "127.0.0.1:8080",
			doc:   "address and port to listen on",
			parse: parseListen,
			show:  func(c *Config) string { return c.Listen },
		},
		address("AUTHSYNC_PUBLIC_URL", "",
			"base of the webhook URLs that providers are pointed at (https://…); default: the address listened on",
			func(c *Config) *string { return &c.PublicURL }),
		{
			name: "DATABASE_URL", secret: true,
			doc: "the control database: postgres://user:password@host:5432/database",
			parse: func(c *Config, value string) error {
				checked, err := pgdb.CheckURL(value)
				c.DatabaseURL = Secret(checked)
				return err
			},
			show: func(c *Config) string { return c.DatabaseURL.String() },
		},
		{
			name: "AUTHSYNC_ENCRYPTION_KEY", secret: true,
			doc:   "32 random bytes in base64 that seal all credentials (openssl rand -base64 32); old keys may follow, separated by commas",
			parse: parseKeys,
			show:  func(c *Config) string { return c.EncryptionKey.String() },
		},
		{
			name: "AUTHSYNC_ROLES", fallback: "receiver,worker,api",
			doc:   "what this process does: receiver takes webhooks, worker applies them, api answers management calls",
			parse: parseRoles,
			show:  func(c *Config) string { return c.Roles.String() },
		},
		address("AUTHSYNC_URL", "",
			"the server that commands talk to; default: the running dev server",
			func(c *Config) *string { return &c.URL }),
		secret("AUTHSYNC_API_KEY",
			"the key that commands show the server (capy_live_… or capy_test_…)",
			func(c *Config) *Secret { return &c.APIKey }),
		number("AUTHSYNC_MAX_BODY_BYTES", "1048576",
			"the largest webhook body accepted, in bytes", 1024, 64<<20,
			func(c *Config) *int64 { return &c.MaxBodyBytes }),
		number("AUTHSYNC_BODY_MEMORY_BYTES", "67108864",
			"memory for the bodies of all webhooks under way, in bytes; a project gets a quarter of it, an address an eighth", 4<<20, 16<<30,
			func(c *Config) *int64 { return &c.BodyMemoryBytes }),
		number("AUTHSYNC_MAX_CONNECTIONS", "4096",
			"most HTTP connections at the same time, at most half of the files that the process may open; idle ones are closed first", 16, 1<<20,
			func(c *Config) *int { return &c.MaxConnections }),
		{
			name: clientaddr.Setting,
			doc: "addresses and ranges (10.0.0.0/16), separated by commas, of the proxies in front, " +
				"whose X-Forwarded-For is believed; others' is not",
			parse: func(c *Config, value string) (err error) {
				c.TrustedProxies, err = clientaddr.Parse(value)
				return err
			},
			show: func(c *Config) string { return c.TrustedProxies.String() },
		},
		{
			name:  "AUTHSYNC_METRICS_LISTEN",
			doc:   "address and port of their own for the metrics, without a key; default: /metrics at AUTHSYNC_LISTEN, with an API key",
			parse: func(c *Config, value string) error { return parseAddress(&c.MetricsListen, value) },
			show:  func(c *Config) string { return c.MetricsListen },
		},
		duration("AUTHSYNC_INBOX_RETENTION", "720h",
			"how long messages and the outcomes of their events are kept, unless a project has its own keep_days; 0 keeps them for ever", 0,
			func(c *Config) *time.Duration { return &c.InboxRetention }),
		duration("AUTHSYNC_LEDGER_RETENTION", "720h",
			"likewise the ids of processed events; never less than messages can be replayed or a provider repeats them (7 days)", 0,
			func(c *Config) *time.Duration { return &c.LedgerRetention }),
		duration("AUTHSYNC_CHANGES_RETENTION", "720h",
			"likewise changes in the feed; the newest change of each record, and those that a destination has not read, stay", 0,
			func(c *Config) *time.Duration { return &c.ChangesRetention }),
		duration("AUTHSYNC_DELIVERIES_RETENTION", "2160h",
			"likewise finished deliveries; failed ones stay", 0,
			func(c *Config) *time.Duration { return &c.DeliveriesRetention }),
		number("AUTHSYNC_PROJECT_QUOTA_BYTES", "0",
			"how much a project may have stored in the inbox, in bytes; beyond it its webhooks get 503 until old ones are dropped; 0 is no limit", 0, 1<<50,
			func(c *Config) *int64 { return &c.ProjectQuotaBytes }),
		number("AUTHSYNC_DATABASE_LIMIT_BYTES", "0",
			"how large the control database may become, in bytes: from four fifths of it on it is a problem (authsync problems list); 0 is no limit", 0, 1<<50,
			func(c *Config) *int64 { return &c.DatabaseLimitBytes }),
		number("AUTHSYNC_WORKERS", "1000",
			"jobs a process runs at the same time; most of them wait for their project's database", 2, 10_000,
			func(c *Config) *int { return &c.Workers }),
		number("AUTHSYNC_DATABASE_CONNECTIONS", "24",
			"most connections of a process to the control database for its jobs; some fifteen more are for webhooks, the API, probes and alarms", 4, 1000,
			func(c *Config) *int { return &c.DatabaseConnections }),
		number("AUTHSYNC_PULL_CONNECTIONS", "100",
			"integrations whose events a process with the role worker pulls at the same time, about 1 MB each at most; more take turns", 1, 10_000,
			func(c *Config) *int { return &c.PullConnections }),
		duration("AUTHSYNC_DRAIN_DELAY", "5s",
			"how long a server goes on after SIGTERM, not ready, so that proxies stop sending requests", 0,
			func(c *Config) *time.Duration { return &c.DrainDelay }),
		duration("AUTHSYNC_SHUTDOWN_TIMEOUT", "20s",
			"how long requests and jobs may take to finish after SIGTERM", time.Second,
			func(c *Config) *time.Duration { return &c.ShutdownTimeout }),
		{
			name: egress.Setting,
			doc: "private addresses, ranges (10.1.0.0/16) and host names, separated by commas, " +
				"that may be given as addresses of providers and destinations; http:// is taken for them as well",
			parse: func(c *Config, value string) (err error) {
				c.AllowTargets, err = egress.ParseTargets(value)
				return err
			},
			show: func(c *Config) string { return c.AllowTargets.String() },
		},
		{
			name: egress.DatabaseSetting, fallback: "private",
			doc: "where the databases that are given for projects and integrations may be beside public addresses: private (all private addresses), none, " +
				"or addresses, ranges and host names, separated by commas; this machine only if it is listed",
			parse: func(c *Config, value string) (err error) {
				c.AllowDatabaseTargets, err = egress.ParseTargets(value)
				return err
			},
			show: func(c *Config) string { return c.AllowDatabaseTargets.String() },
		},
		alertURLs("AUTHSYNC_ALERT_URLS",
			"webhooks, separated by commas, that are called when a problem opens or closes (authsync problems list), signed by AUTHSYNC_ALERT_SECRET",
			func(c *Config) *Secret { return &c.AlertURLs }),
		alertURLs("AUTHSYNC_ALERT_SLACK_URLS",
			"the same, in the format of Slack's incoming webhooks: a JSON object with text",
			func(c *Config) *Secret { return &c.AlertSlackURLs }),
		{
			name: "AUTHSYNC_ALERT_SECRET", secret: true,
			doc:   "signs the calls to AUTHSYNC_ALERT_URLS by Standard Webhooks: whsec_ and the base64 of 24 to 64 random bytes",
			parse: parseAlertSecret,
			show:  func(c *Config) string { return c.AlertSecret.String() },
		},
		{
			name: AlertTargetsSetting, fallback: "private",
			doc: "where those webhooks may be beside public https addresses: private (all private addresses), none, or addresses, ranges and host names, " +
				"separated by commas; this machine only if it is listed",
			parse: func(c *Config, value string) (err error) {
				c.AllowAlertTargets, err = egress.ParseTargets(value)
				return err
			},
			show: func(c *Config) string { return c.AllowAlertTargets.String() },
		},
		{
			name: "AUTHSYNC_LOG_LEVEL", fallback: "info",
			doc: "debug, info, warn or error",
			parse: func(c *Config, value string) error {
				if c.LogLevel.UnmarshalText([]byte(value)) != nil {
					return errors.New("it takes debug, info, warn or error")
				}
				return nil
			},
			show: func(c *Config) string { return strings.ToLower(c.LogLevel.String()) },
		},
		{
			name: "AUTHSYNC_LOG_FORMAT", fallback: "json",
			doc: "json or text; authsync dev: text unless set",
			parse: func(c *Config, value string) error {
				c.LogFormat = LogFormat(value)
				if c.LogFormat != JSON && c.LogFormat != Text {
					return errors.New("it takes json or text")
				}
				return nil
			},
			show: func(c *Config) string { return string(c.LogFormat) },
		},
		{
			name: "AUTHSYNC_LOG_OUTCOMES", fallback: string(AllOutcomes),
			doc: "all or failed: which outcomes of events have a line in the log, at level info, or warn for failed ones",
			parse: func(c *Config, value string) error {
				c.LogOutcomes = LogOutcomes(value)
				if c.LogOutcomes != AllOutcomes && c.LogOutcomes != FailedOutcomes {
					return errors.New("it takes all or failed")
				}
				return nil
			},
			show: func(c *Config) string { return string(c.LogOutcomes) },
		},
	}
}

func text(name, fallback, doc string, at func(*Config) *string) setting {
	return setting{
		name: name, fallback: fallback, doc: doc,
		parse: func(c *Config, value string) error { *at(c) = value; return nil },
		show:  func(c *Config) string { return *at(c) },
	}
}

func secret(name, doc string, at func(*Config) *Secret) setting {
	return setting{
		name: name, doc: doc, secret: true,
		parse: func(c *Config, value string) error {
			clean, err := pasted.Clean(value)
			*at(c) = Secret(clean)
			return err
		},
		show: func(c *Config) string { return at(c).String() },
	}
}

// address parses a base URL; a trailing slash is dropped, so that paths can be appended.
func address(name, fallback, doc string, at func(*Config) *string) setting {
	return setting{
		name: name, fallback: fallback, doc: doc,
		parse: func(c *Config, value string) error {
			u, err := url.Parse(value)
			if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
				return errors.New("it takes a base URL such as https://authsync.example.com")
			}
			*at(c) = strings.TrimRight(value, "/")
			return nil
		},
		show: func(c *Config) string { return *at(c) },
	}
}

func number[T int | int64](name, fallback, doc string, low, high T, at func(*Config) *T) setting {
	unit := "number"
	if strings.HasSuffix(name, "_BYTES") {
		unit = "bytes"
	}
	return setting{
		name: name, fallback: fallback, doc: doc, unit: unit,
		parse: func(c *Config, value string) error {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < int64(low) || n > int64(high) {
				return errors.New("it takes a whole number from " + strconv.FormatInt(int64(low), 10) +
					" to " + strconv.FormatInt(int64(high), 10))
			}
			*at(c) = T(n)
			return nil
		},
		show: func(c *Config) string { return strconv.FormatInt(int64(*at(c)), 10) },
	}
}

func duration(name, fallback, doc string, low time.Duration, at func(*Config) *time.Duration) setting {
	return setting{
		name: name, fallback: fallback, doc: doc, unit: "duration",
		parse: func(c *Config, value string) error {
			d, err := time.ParseDuration(value)
			if err != nil || d < low || d > math.MaxInt64/2 {
				return errors.New("it takes a duration such as 30s, 15m or 720h, at least " + short(low))
			}
			*at(c) = d
			return nil
		},
		show: func(c *Config) string { return short(*at(c)) },
	}
}

// short formats a duration without trailing zero units: 720h, not 720h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseKeys cleans each of several keys.
func parseKeys(c *Config, value string) error {
	keys := strings.Split(value, ",")
	for i, key := range keys {
		clean, err := pasted.Clean(key)
		if err != nil {
			return fmt.Errorf("key %d %w", i+1, err)
		}
		keys[i] = clean
	}
	c.EncryptionKey = Secret(strings.Join(keys, ","))
	return nil
}

func parseListen(c *Config, value string) error { return parseAddress(&c.Listen, value) }

func parseAddress(into *string, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return errors.New("it takes host:port, such as 127.0.0.1:8080 or :8080")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("the port must be a number from 0 (any free port) to 65535")
	}
	*into = value
	return nil
}

func parseRoles(c *Config, value string) error {
	for name := range strings.SplitSeq(value, ",") {
		switch strings.TrimSpace(name) {
		case "receiver":
			c.Roles.Receiver = true
		case "worker":
			c.Roles.Worker = true
		case "api":
			c.Roles.API = true
		default:
			return errors.New("it takes one or more of receiver, worker and api, separated by commas")
		}
	}
	return nil
}
