package watch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/watch"
)

// receive stores a message of the integration.
func (b *testBundle) receive(t *testing.T) {
	t.Helper()
	b.exec(t, `INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body) VALUES ($1, 'clerk', $2, '{}', '')`, b.shop, b.now())
}

// watchFor evaluates every two and a half minutes.
func (b *testBundle) watchFor(t *testing.T, w *watch.Watcher, d time.Duration) {
	t.Helper()
	const step = 150 * time.Second
	for range d / step {
		b.pass(step - watch.Every)
		b.evaluate(t, w)
	}
}

// known makes the integration one that has sent something every two hours for a month.
func (b *testBundle) known(t *testing.T) {
	t.Helper()
	b.exec(t, `UPDATE authsync.integration_activity SET first_message_at = first_message_at - interval '30 days', usual_gaps = array_fill(7200::real, ARRAY[168])`)
	b.pass(6 * time.Minute)
	b.receive(t)
}

func TestSilenceIsNoticedAndEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.watchFor(t, w, time.Hour)
	require.Empty(t, b.list(t, ""), "nothing has ever come: the integration is being set up")
	b.receive(t)
	b.watchFor(t, w, 10*time.Minute)
	b.known(t)
	b.watchFor(t, w, 175*time.Minute)
	require.Empty(t, b.list(t, ""), "one and a half usual pauses are not over")
	b.watchFor(t, w, 10*time.Minute)
	open := b.list(t, watch.StateOpen)
	require.Len(t, open, 1)
	require.Equal(t, watch.Silence, open[0].Kind)
	require.Equal(t, "clerk", open[0].Subject)
	require.Contains(t, open[0].Detail, "nothing has come from clerk for project shop since ")
	b.watchFor(t, w, time.Hour)
	require.Len(t, b.list(t, ""), 1)

	b.receive(t)
	b.evaluate(t, w)
	require.Empty(t, b.open(t))
	var longest float64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT max(g) FROM authsync.integration_activity, unnest(usual_gaps) AS g`).Scan(&longest))
	require.InDelta(t, 10800, longest, 120, "the outage is not usual from then on")
	var rows int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.integration_activity`).Scan(&rows))
	require.Equal(t, 1, rows, "however much is learned")
}

func TestSilenceOfAYoungIntegrationIsNotKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.receive(t)
	b.watchFor(t, w, 4*time.Hour)
	require.Empty(t, b.list(t, ""))
}

func TestSilenceByTheOption(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.receive(t)
	b.exec(t, `UPDATE authsync.integrations SET options = '{"silence": {"after": "1h"}}'`)
	b.watchFor(t, w, 55*time.Minute)
	require.Empty(t, b.list(t, ""))
	b.watchFor(t, w, 10*time.Minute)
	require.Equal(t, []string{watch.Silence}, b.open(t), "it needs no learning")
	require.Contains(t, b.list(t, "")[0].Detail, "silence.after")
	b.exec(t, `UPDATE authsync.integrations SET options = '{"silence": {"after": "never"}}'`)
	b.evaluate(t, w)
	require.Empty(t, b.open(t))
}

// After an outage of the server itself the providers get time to send again.
func TestSilenceAfterTheServerWasDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := watch.New(b.config(t))
	b.receive(t)
	b.evaluate(t, w)
	b.known(t)
	b.evaluate(t, w)
	b.pass(10 * time.Hour)
	b.evaluate(t, w)
	b.watchFor(t, w, 25*time.Minute)
	require.Empty(t, b.list(t, ""))
	b.watchFor(t, w, 10*time.Minute)
	require.Equal(t, []string{watch.Silence}, b.open(t))
}
