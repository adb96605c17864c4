package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// docs/config.md is the table of settings; make golden writes it.
func TestReferenceGolden(t *testing.T) {
	t.Parallel()
	c, err := config.Load(lookup(nil))
	require.NoError(t, err)
	var page strings.Builder
	page.WriteString(`# Settings

Every setting is an environment variable. ` + "`authsync config`" + ` prints them with their current values, and fails if one is invalid. This
page is made of the same table.

- An empty variable counts as unset. Quotation marks around a value are removed.
- A secret can be in a file instead, which the variable ` + "`NAME_FILE`" + ` names; the variable itself must then be unset.
- A duration is written ` + "`30s`, `15m` or `720h`" + `.
- The column "read by" has the roles (` + "`AUTHSYNC_ROLES`" + `) to which a setting matters; "dev" is ` + "`authsync dev`" + `, "commands" are those that talk
  to a server.
- authsync also reads the variables of PostgreSQL's clients (` + "`PGHOST` and so on" + `) for what ` + "`DATABASE_URL`" + ` leaves open, ` + "`HTTPS_PROXY`" + ` in
  commands, and ` + "`GOMEMLIMIT`" + ` as every program written in Go.

| variable | default | unit | read by | since | meaning |
|---|---|---|---|---|---|
`)
	for _, row := range c.Table() {
		value := "-"
		if row.Default != "" {
			value = "`" + row.Default + "`"
		}
		unit := row.Unit
		if unit == "" {
			unit = "-"
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s | %s |\n", row.Name, value, unit, row.Readers, row.Since, strings.ReplaceAll(row.Doc, "|", `\|`))
	}
	pgtest.Golden(t, "../../docs/config.md", page.String())
}

func TestReadersAreOfSettings(t *testing.T) {
	t.Parallel()
	c, err := config.Load(lookup(nil))
	require.NoError(t, err)
	rows := make(map[string]config.Row)
	for _, row := range c.Table() {
		rows[row.Name] = row
	}
	for name := range config.Readers() {
		require.Contains(t, rows, name)
	}
	require.Equal(t, "commands", rows["AUTHSYNC_API_KEY_FILE"].Readers, "a file is read by whoever reads its secret")
	require.Equal(t, "bytes", rows["AUTHSYNC_MAX_BODY_BYTES"].Unit)
	require.Equal(t, "duration", rows["AUTHSYNC_DRAIN_DELAY"].Unit)
}
