package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A client is at work as long as it reaches its database, also while all queues are paused.
func TestAClientIsAtWork(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	p := start(t, control, func(context.Context, *river.Job[args]) error { return nil })
	const within = 30 * time.Second
	isAlive := func() {
		from := time.Now()
		waittest.Until(t, func() bool { return p.Working(from.Add(within)) == nil }, "no contact any more")
	}
	isAlive()
	require.NoError(t, p.QueuePause(t.Context(), "*", nil))
	isAlive() // which may have been the last look before the pause
	isAlive()

	p.pool.Close()
	require.NoError(t, p.Working(time.Now()))
	require.ErrorContains(t, p.Working(time.Now().Add(within+time.Minute)), "no contact for")
}
