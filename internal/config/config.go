// Package config is the only reader of the environment. It turns variables into
// one checked Config, reports every fault at once, and prints the table of all
// settings, which is also their documentation.
//
// On the road of a webhook it stands at the start: package app builds the
// receiver, the inbox and the workers from a Config, and package cli finds the
// running server through it.
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
)

// Lookup finds the value of an environment variable. An empty value counts as unset, and
// quotation marks around a value are not part of it: files of variables that no shell has
// read keep them.
type Lookup func(name string) string

// Environment looks variables up in the environment of the process.
func Environment() Lookup { return os.Getenv }

// Secret is a value that does not print. Reveal is the one way to it.
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

// Roles are the parts of the work that a process takes on.
type Roles struct {
	Receiver bool // takes webhooks
	Worker   bool // applies deliveries to the mirrors
	API      bool // answers management calls
}

// String lists the roles as AUTHSYNC_ROLES takes them.
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

// HTTP reports whether any role answers requests of others.
func (r Roles) HTTP() bool { return r.Receiver || r.API }

// LogFormat is the form of a log line.
type LogFormat string

// The forms of a log line.
const (
	JSON LogFormat = "json"
	Text LogFormat = "text"
)

// Config holds every setting. What each means, and its default, stands in Table.
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
	ProjectQuotaBytes   int64
	Workers             int
	DatabaseConnections int
	ShutdownTimeout     time.Duration

	AllowTargets         egress.Targets
	AllowDatabaseTargets egress.Targets

	LogLevel  slog.Level
	LogFormat LogFormat

	set map[string]bool
}

// IsSet reports whether the variable was given a value, rather than its default.
func (c *Config) IsSet(name string) bool { return c.set[name] }

// Load reads and checks all settings. The error names every variable that is
// wrong, what it takes, and never shows the value of a secret. Which settings
// a command cannot do without is for that command to check, see Require.
func Load(lookup Lookup) (Config, error) {
	c := Config{set: map[string]bool{}}
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

// Require reports, in one error, which of the named variables have no value.
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

// joinLine joins errors into one of a single line, since errors are shown as a line.
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
