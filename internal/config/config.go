// Package config is the only reader of the environment. It parses variables into one checked
// Config, reports all errors at once, and prints the table of all settings, which is also their
// documentation. Package app builds the server from a Config, and package cli finds the running
// server through it.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/clientaddr"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/retention"
)

// Lookup returns the value of an environment variable. An empty value counts as unset, and
// quotation marks around a value are removed: variable files that were not read by a shell keep
// them.
type Lookup func(name string) string

// Environment looks variables up in the process's environment.
func Environment() Lookup { return os.Getenv }

// Secret is a value that does not print. Only Reveal returns it.
type Secret string

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the value from JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Roles are the parts of the work that a process performs.
type Roles struct {
	Receiver bool // accepts webhooks
	Worker   bool // applies messages to the mirrors
	API      bool // serves the management API
}

// String formats the roles for AUTHSYNC_ROLES.
func (r Roles) String() string {
	var names []string
	if r.Receiver {
		names = append(names, "receiver")
	}
	if r.Worker {
		names = append(names, "worker")
	}
	if r.API {
		names = append(names, "api")
	}
	return strings.Join(names, ",")
}

// HTTP reports whether any role serves requests.
func (r Roles) HTTP() bool { return r.Receiver || r.API }

// LogOutcomes is which outcomes of events have a line in the log.
type LogOutcomes string

// The values of LogOutcomes.
const (
	AllOutcomes    LogOutcomes = "all"
	FailedOutcomes LogOutcomes = "failed"
)

// LogFormat is the format of the log.
type LogFormat string

// The log formats.
const (
	JSON LogFormat = "json"
	Text LogFormat = "text"
)

// Config holds every setting. Table has their meanings and defaults.
type Config struct {
	DataDir       string
	Listen        string
	PublicURL     string
	DatabaseURL   Secret
	EncryptionKey Secret
	Roles         Roles
	URL           string
	APIKey        Secret

	MaxBodyBytes        int64
	BodyMemoryBytes     int64
	MaxConnections      int
	TrustedProxies      clientaddr.Proxies
	MetricsListen       string
	DrainDelay          time.Duration
	InboxRetention      time.Duration
	LedgerRetention     time.Duration
	ChangesRetention    time.Duration
	DeliveriesRetention time.Duration
	ProjectQuotaBytes   int64
	DatabaseLimitBytes  int64
	Workers             int
	DatabaseConnections int
	// PullConnections is the maximum number of integrations whose events are pulled at the same time.
	PullConnections int
	ShutdownTimeout time.Duration

	AllowTargets         egress.Targets
	AllowDatabaseTargets egress.Targets
	AllowAlertTargets    egress.Targets

	AlertURLs      Secret // separated by commas
	AlertSlackURLs Secret // separated by commas
	AlertSecret    Secret

	LogLevel    slog.Level
	LogFormat   LogFormat
	LogOutcomes LogOutcomes

	set         map[string]bool
	secretFiles map[string]string // by the name of the secret
}

// IsSet reports whether the variable was set, rather than defaulted.
func (c *Config) IsSet(name string) bool { return c.set[name] }

// Load parses and checks all settings. The error names every invalid variable and the accepted
// values, and never shows a secret. Each command checks the settings that it requires; see Require.
func Load(lookup Lookup) (Config, error) {
	c := Config{set: map[string]bool{}, secretFiles: map[string]string{}}
	var faults []error
	for _, f := range settings() {
		value := pasted.Unquote(lookup(f.name))
		if value != "" {
			c.set[f.name] = true
		} else {
			value = f.fallback
		}
		if value == "" {
			continue
		}
		if err := f.parse(&c, value); err != nil {
			if !f.secret {
				err = fmt.Errorf("is %q: %w", value, err)
			}
			faults = append(faults, fmt.Errorf("%s %w", f.name, err))
		}
	}
	if len(faults) > 0 {
		return Config{}, joinLine(faults)
	}
	return c, nil
}

// Require returns one error with all of the named variables that have no value.
func (c *Config) Require(names ...string) error {
	var faults []error
	for _, f := range settings() {
		for _, name := range names {
			if f.name == name && f.show(c) == "" {
				faults = append(faults, fmt.Errorf("%s is not set: %s", f.name, f.doc))
			}
		}
	}
	return joinLine(faults)
}

// joinLine joins errors on a single line.
func joinLine(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// Retention is how long what a project has no setting for is kept.
func (c *Config) Retention() retention.Defaults {
	return retention.Defaults{
		Inbox: c.InboxRetention, Ledger: c.LedgerRetention, Changes: c.ChangesRetention, Deliveries: c.DeliveriesRetention,
	}
}
