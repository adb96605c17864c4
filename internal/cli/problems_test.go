package cli

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/watch"
)

// A problem that the server found is seen by the command, the API and doctor.
func TestProblemsAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, "No problem is open.\n", b.must(t, "problems", "list"))
	execute(t, b.control, `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
			SELECT id, '{999999}', 1, now() - interval '2 hours', now() FROM authsync.projects WHERE name = 'shop';
		UPDATE authsync.watch_state SET claimed_until = '-infinity';
		INSERT INTO authsync.problems (kind, severity, detail, next_step, opened_at, last_seen_at, closed_at)
			VALUES ('clock_skew', 'failed', 'the clocks are apart', 'run NTP', now(), now(), now());
		INSERT INTO authsync.problems (kind, subject, severity, detail, next_step, opened_at, last_seen_at)
			VALUES ('failed_by_test', 'x', 'warning', 'only doctor has it from the table', 'see to it', now(), now())`)
	evaluated, err := watch.New(watch.Config{Pool: b.control}).Evaluate(t.Context())
	require.NoError(t, err)
	require.True(t, evaluated)
	var problems []client.Problem
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "problems", "list", "--project", "shop", "--json")), &problems))
	require.Len(t, problems, 1)
	require.Equal(t, "lag", problems[0].Kind)
	require.Equal(t, "shop", *problems[0].Project)
	all := b.must(t, "problems", "list")
	require.Contains(t, all, "failed    lag")
	require.Contains(t, all, "\nlag: 1 message of project shop waits to be applied")
	require.Contains(t, all, "\n  next: authsync events list shop --outcome pending")
	require.Contains(t, all, "failed_by_test")
	require.NotContains(t, all, "clock_skew")
	require.Contains(t, b.must(t, "problems", "list", "--closed"), "clock_skew")
	require.Contains(t, b.run(t, "doctor").out, "warning  problems: only doctor has it from the table (open since ")
}
