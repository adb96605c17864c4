package relay_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// A condition that takes long must not use up the time of a job, which would come to nothing again and again.
func TestSlowConditionMovesOnBySteps(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.SetClock(time.Now())
	users := make([]string, 10)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.Apply(t, users...)
	condition := "slow"
	slow := b.AddFrom(t, "slow", &deliverytest.Sink{}, &condition, admin.From{Beginning: true})
	quick := b.AddFrom(t, "quick", &deliverytest.Sink{}, nil, admin.From{Beginning: true})
	b.Work(t)
	b.Eventually(t, slow, "delivered 10")
	b.Eventually(t, quick, "delivered 10")
	// Deliveries that were made at once have one time; two changes fill the time of a step.
	require.Equal(t, "5", b.One(t, `SELECT count(DISTINCT created_at)::text FROM authsync.deliveries WHERE destination_id = $1`, slow))
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, slow, admin.Replay{From: admin.From{Beginning: true}})
	require.NoError(t, err)
	require.EqualValues(t, 10, done.Requeued)
}

func TestPagesOfLargeUsersAreSmall(t *testing.T) {
	t.Parallel()
	page := func(n, size int) []mirror.FeedChange {
		row := bytes.Repeat([]byte("x"), size)
		changes := make([]mirror.FeedChange, n)
		for i := range changes {
			changes[i].Row = row
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

// A page counts once, whoever brings it.
func TestPageIsRelayedOnce(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	page := func(from, to int) string {
		return b.One(t, `
			SELECT authsync.relay_page($1, $2, $3, jsonb_build_array(jsonb_build_object('change_id', $3::bigint, 'record_type', 'user', 'record_id', 'u1', 'order_key', 'user:u1', 'event_type', 'user.updated',
				'changed', '["email"]'::jsonb, 'changed_at', now())), now())::text`, id, from, to)
	}
	require.Equal(t, "1", page(0, 5))
	require.Empty(t, page(0, 5), "another worker has been faster")
	require.Equal(t, "1", page(5, 6))
	require.Equal(t, "blocked 1, ready 1", b.States(t, id))
}
