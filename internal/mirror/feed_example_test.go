package mirror_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// begin of the example

// follow hands every change behind the cursor to handle, one after another, and
// waits for more until ctx ends. handle stores the id together with what it does.
func follow(ctx context.Context, conn *pgx.Conn, cursor int64, handle func(id int64, userID, kind string) error) error {
	// Listen first: a change that commits after this is told, one before is read.
	if _, err := conn.Exec(ctx, "LISTEN capydb_auth_changes"); err != nil {
		return err
	}
	for {
		rows, err := conn.Query(ctx, `
			SELECT id, user_id, kind FROM capydb_auth.user_changes
			WHERE id > $1 ORDER BY id LIMIT 500`, cursor)
		if err != nil {
			return err
		}
		var (
			id           int64
			userID, kind string
			read         int
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &userID, &kind}, func() error {
			read++
			cursor = id
			return handle(id, userID, kind)
		})
		if err != nil {
			return err
		}
		if read == 500 {
			continue // there may be more
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// end of the example

// TestTheGuideInSQL runs the statements of docs/feed.md.
func TestTheGuideInSQL(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/feed.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	block := func(begin string) string {
		i := slices.IndexFunc(blocks, func(b []string) bool { return strings.HasPrefix(b[1], begin) })
		require.GreaterOrEqual(t, i, 0, "a block that begins with %s", begin)
		return blocks[i][1]
	}
	pool := pgtest.Project(t)
	execute(t, pool, `CREATE TABLE welcome_mails (user_id text)`)
	execute(t, pool, block("CREATE TABLE feed_cursor"))
	const mails = `SELECT string_agg(user_id, ' ') FROM welcome_mails`
	run := block("BEGIN")

	execute(t, pool, run)
	require.Equal(t, "NULL", one(t, pool, mails))
	apply(t, pool, []mirror.Event{of("ada", update("e1", 1, "email", "a@example.com")), of("bob", update("e2", 2, "email", "b@example.com")), of("ada", update("e3", 3, "email", "ada@example.com"))})
	execute(t, pool, run)
	execute(t, pool, run)
	require.Equal(t, "ada bob", one(t, pool, mails), "each once")
	apply(t, pool, []mirror.Event{of("eve", update("e4", 4, "email", "e@example.com"))})
	execute(t, pool, run)
	require.Equal(t, "ada bob eve", one(t, pool, mails))
	require.Equal(t, one(t, pool, `SELECT max(id)::text FROM capydb_auth.user_changes`), one(t, pool, `SELECT id::text FROM feed_cursor`))

	_, err = pool.Exec(t.Context(), strings.ReplaceAll(block("SELECT id, user_id"), "$1", "0"))
	require.NoError(t, err)
}

// TestTheGuideShowsTheExampleThatIsTested compares docs/feed.md with follow.
func TestTheGuideShowsTheExampleThatIsTested(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("feed_example_test.go")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(source), "// begin of the example\n\n")
	require.True(t, found)
	example, _, found = strings.Cut(example, "\n// end of the example\n")
	require.True(t, found)
	guide, err := os.ReadFile("../../docs/feed.md")
	require.NoError(t, err)
	require.Contains(t, string(guide), "```go\n"+example+"```\n")
}
