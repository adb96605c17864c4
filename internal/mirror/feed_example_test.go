package mirror_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
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
