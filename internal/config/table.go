package config

import (
	"cmp"
	"strings"

	"github.com/authsync/authsync/internal/clientaddr"
	"github.com/authsync/authsync/internal/egress"
)

// firstRelease is the version that settings without another one came with.
const firstRelease = "0.1.0"

// everyRole reads what no entry of readers names.
const everyRole = "all"

// Row is a line of the table of settings.
type Row struct {
	Name    string `json:"name"`
	Value   string `json:"value"`   // the current value; *** for a secret
	Set     bool   `json:"set"`     // whether the environment set it
	Default string `json:"default"` // empty if there is none
	Unit    string `json:"unit"`    // bytes, number or duration; empty for text
	Readers string `json:"readers"` // the roles that it matters to, "dev" or "commands"
	Since   string `json:"since"`   // the version that it came with
	Doc     string `json:"doc"`
}

// Table lists every setting with its current value.
func (c *Config) Table() []Row {
	all := settings()
	rows := make([]Row, len(all))
	for i, s := range all {
		rows[i] = Row{
			Name: s.name, Value: s.show(c), Set: c.set[s.name], Default: s.fallback, Unit: s.unit,
			Readers: cmp.Or(readers()[strings.TrimSuffix(s.name, "_FILE")], everyRole), Since: cmp.Or(s.since, firstRelease), Doc: s.doc,
		}
	}
	return rows
}

// readers are the roles that a setting matters to, where these are not all.
func readers() map[string]string {
	return map[string]string{
		"AUTHSYNC_DATA_DIR":             "dev",
		"AUTHSYNC_URL":                  "commands",
		"AUTHSYNC_API_KEY":              "commands",
		"AUTHSYNC_PUBLIC_URL":           "api",
		"AUTHSYNC_MAX_BODY_BYTES":       "receiver",
		"AUTHSYNC_BODY_MEMORY_BYTES":    "receiver",
		"AUTHSYNC_PROJECT_QUOTA_BYTES":  "receiver",
		"AUTHSYNC_DRAIN_DELAY":          "receiver, api",
		clientaddr.Setting:              "receiver, api",
		"AUTHSYNC_INBOX_RETENTION":      "worker, api",
		"AUTHSYNC_LEDGER_RETENTION":     "worker, api",
		"AUTHSYNC_CHANGES_RETENTION":    "worker, api",
		"AUTHSYNC_DELIVERIES_RETENTION": "worker, api",
		"AUTHSYNC_WORKERS":              "worker",
		egress.Setting:                  "worker, api",
		egress.DatabaseSetting:          "worker, api",
	}
}
