package delivery_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/mirror"
)

// A condition that takes long must not use up the time of a job, which would come to nothing again and again.
func TestSlowConditionMovesOnBySteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setClock(time.Now())
	users := make([]string, 10)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.apply(t, users...)
	condition := "slow"
	slow := b.addFrom(t, "slow", &sink{}, &condition, delivery.From{Beginning: true})
	quick := b.addFrom(t, "quick", &sink{}, nil, delivery.From{Beginning: true})
	b.work(t)
	b.eventually(t, slow, "delivered 10")
	b.eventually(t, quick, "delivered 10")
	// Deliveries that were made at once have one time; two changes fill the time of a step.
	require.Equal(t, "5", b.one(t, `SELECT count(DISTINCT created_at)::text FROM authsync.deliveries WHERE destination_id = $1`, slow))
	done, err := b.outbox.Replay(t.Context(), b.projectID, slow, delivery.Replay{From: delivery.From{Beginning: true}})
	require.NoError(t, err)
	require.EqualValues(t, 10, done.Requeued)
}

func TestPagesOfLargeUsersAreSmall(t *testing.T) {
	t.Parallel()
	page := func(n, size int) []mirror.FeedChange {
		row := bytes.Repeat([]byte("x"), size)
		changes := make([]mirror.FeedChange, n)
		for i := range changes {
			changes[i].User = row
		}
		return changes
	}
	require.Equal(t, 128, delivery.NextPage(64, page(64, 1000)))
	require.Equal(t, 500, delivery.NextPage(400, page(400, 1000)))
	require.Equal(t, 500, delivery.NextPage(500, nil))
	require.Equal(t, 32, delivery.NextPage(64, page(64, 1<<20)))
	require.Equal(t, 64, delivery.NextPage(64, page(64, 400<<10)), "heavy enough")
	require.Equal(t, 1, delivery.NextPage(1, page(1, 100<<20)), "never none")
}
