package apply_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// waiting is a provider whose decoder has to wait.
type waiting struct {
	provider.Provider

	waits *atomic.Bool
	calls *atomic.Int64
}

func (w waiting) DecodeContext(_ context.Context, d provider.Message, o provider.Options) ([]provider.Event, error) {
	w.calls.Add(1)
	if w.waits.Load() {
		return nil, errors.New("no worker is to be had")
	}
	return w.Decode(d, o), nil
}

// A decoder that has to wait fails no event: the job waits.
func TestADecoderThatWaitsFailsNoEvent(t *testing.T) {
	t.Parallel()
	var waits atomic.Bool
	var calls atomic.Int64
	waits.Store(true)
	b := setupWith(t, nil, func(c *apply.Config) {
		c.Directory = directory{kind: func(p provider.Provider) provider.Provider { return waiting{p, &waits, &calls} }}
	})
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "ada@example.com"))
	waittest.Until(t, func() bool { return calls.Load() > 1 })
	outcome, _ := b.outcome(t, id, 0)
	require.Equal(t, inbox.Pending, outcome)
	require.LessOrEqual(t, b.job(t, "apply_inbox").Attempt, 1, "the wait costs no attempt") // 0 between two of them
	require.Zero(t, value[int64](t, b, `SELECT count(*) FROM authsync.river_job WHERE kind = 'retry_event'`))
	waits.Store(false)
	b.eventually(t, id, 0, inbox.Applied)
}

// A batch that takes long to decode is applied in parts, however many messages became pending together.
func TestABatchThatIsSlowToDecodeIsAppliedInParts(t *testing.T) {
	t.Parallel()
	const messages = 12
	b := setupWith(t, nil, func(c *apply.Config) { c.DecodeTime = 1 }) // a nanosecond: one message at a time
	ids := make([]int64, messages)
	for i := range ids {
		ids[i] = b.store(t, created(fmt.Sprintf("evt_%d", i), fmt.Sprintf("auth0|%d", i), "ada@example.com"))
	}
	exec(t, b, `INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to) VALUES ($1, $2, 0, now() - interval '1 hour', now())`, b.projectID, ids)
	exec(t, b, `SELECT authsync.request_job('apply_inbox', $1::uuid::text, jsonb_build_object('project_id', $1::uuid))`, b.projectID)
	for _, id := range ids {
		b.eventually(t, id, 0, inbox.Applied)
	}
	b.settled(t)
	require.Equal(t, messages, b.changes(t))
}

// store puts a message into the inbox that is not pending.
func (b *testBundle) store(t *testing.T, body string) int64 {
	t.Helper()
	return value[int64](t, b, `
		INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body) VALUES ($1, 'auth0', now(), '{}', $2) RETURNING id`,
		b.projectID, []byte(body))
}
