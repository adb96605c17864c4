package sender_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/sender"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestChunksFollowTheWeightOfMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ chunk, fit, batch, want int }{
		{chunk: 32, fit: 2000, batch: 1, want: 64},
		{chunk: 800, fit: 2000, batch: 1, want: 1000},
		{chunk: 32, fit: 8, batch: 1, want: 8},
		{chunk: 8, fit: 0, batch: 1, want: 1},
		{chunk: 1, fit: 2000, batch: 1, want: 2},
		{chunk: 100, fit: 2000, batch: 100, want: 200},
		{chunk: 120, fit: 2000, batch: 100, want: 200},
		{chunk: 100, fit: 8, batch: 100, want: 8},
	} {
		require.Equal(t, c.want, sender.NextChunk(c.chunk, c.fit, c.batch), "%+v", c)
	}
}

// Each message has the row as its change left it, however many changes of the user follow.
func TestManyChangesOfAUserAreDeliveredInOrder(t *testing.T) {
	t.Parallel()
	const changes = 300
	b := deliverytest.New(t)
	b.Slice = 5 * time.Minute // what a run has loaded and not sent at the end of its slice is loaded again
	users := slices.Repeat([]string{"ada"}, changes)
	b.Apply(t, users...)
	s := &deliverytest.Sink{}
	id := b.AddFrom(t, "app", s, nil, admin.From{Beginning: true})
	b.Work(t)
	b.Eventually(t, id, "delivered "+strconv.Itoa(changes))
	for i, m := range s.Messages() {
		require.EqualValues(t, i+1, m.ChangeID)
		require.Contains(t, string(m.Row), fmt.Sprintf(`{"n": %d}`, i+1), "the row as this change left it")
	}
	_, messages := b.Loaded()
	require.Equal(t, changes, messages, "each is loaded once")
}

func TestMessagesInHandAreBoundedByTheirSize(t *testing.T) {
	t.Parallel()
	const users, bytes = 200, 20_000
	b := deliverytest.New(t)
	b.Slice, b.MaxInFlightBytes = 5*time.Minute, 50*bytes
	var mu sync.Mutex
	sent, most := 0, 0
	s := &deliverytest.Sink{Can: destination.Capabilities{Batch: 1, Parallel: 4}}
	s.Set(func(_ context.Context, messages []destination.Message) []destination.Result {
		<-time.After(40 * time.Millisecond) // what the other side takes, so that there is time to load more
		_, loaded := b.Loaded()
		mu.Lock()
		defer mu.Unlock()
		most = max(most, loaded-sent)
		sent += len(messages)
		return make([]destination.Result, len(messages))
	})
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprint("u", i)
	}
	b.Apply(t, names...)
	_, err := b.Project.Exec(t.Context(), `
		UPDATE capydb_auth.users SET raw = jsonb_build_object('pad', repeat('x', $1::integer))`, bytes)
	require.NoError(t, err)
	id := b.AddFrom(t, "app", s, nil, admin.From{Beginning: true})
	b.Work(t)
	b.Eventually(t, id, "delivered "+strconv.Itoa(users))
	mu.Lock()
	defer mu.Unlock()
	require.LessOrEqual(t, most, 50+32, "what may be in flight, and a chunk")
}

// slow answers after a while.
func slow(context.Context, []destination.Message) []destination.Result {
	<-time.After(20 * time.Millisecond)
	return make([]destination.Result, 1)
}

// backlogOf makes a destination with a change of each of so many users waiting.
func backlogOf(tb testing.TB, b *deliverytest.Bundle, s *deliverytest.Sink, users int) uuid.UUID {
	tb.Helper()
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprint("u", i)
	}
	b.Apply(tb, names...)
	s.Set(slow)
	b.Slice = 5 * time.Minute
	return b.AddFrom(tb, "app", s, nil, admin.From{Beginning: true})
}

func TestAChangedConfigurationHoldsWhileARunIsAtWork(t *testing.T) {
	t.Parallel()
	const users = 1000 // they take 20 s
	b := deliverytest.New(t)
	before, after := &deliverytest.Sink{}, &deliverytest.Sink{Can: destination.Capabilities{Batch: 1, Parallel: 16}}
	id := backlogOf(t, b, before, users)
	b.Work(t)
	b.Until(t, "true", func() string { return strconv.FormatBool(before.Tried() > 0) })
	b.SetType(id, after)
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destinations SET updated_at = clock_timestamp() WHERE id = $1`, id)
	require.NoError(t, err)
	b.Eventually(t, id, "delivered "+strconv.Itoa(users))
	require.Less(t, before.Tried(), users/2)
	require.Equal(t, users, before.Tried()+after.Tried())
}

func TestARunEndsWhenItsDestinationIsRemoved(t *testing.T) {
	t.Parallel()
	const users = 250
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := backlogOf(t, b, s, users)
	b.Work(t)
	b.Until(t, "true", func() string { return strconv.FormatBool(s.Tried() > 0) })
	_, err := b.Control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
	require.NoError(t, err)
	b.Until(t, "0", func() string {
		return b.One(t, `SELECT count(*) FROM authsync.river_job WHERE kind = 'deliver' AND finalized_at IS NULL`)
	})
	require.Less(t, s.Tried(), users/2)
}
