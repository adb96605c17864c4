package delivery_test

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

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
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
		require.Equal(t, c.want, delivery.NextChunk(c.chunk, c.fit, c.batch), "%+v", c)
	}
}

// Each message has the row as its change left it, however many changes of the user follow.
func TestManyChangesOfAUserAreDeliveredInOrder(t *testing.T) {
	t.Parallel()
	const changes = 300
	b := setup(t)
	b.slice = 5 * time.Minute // what a run has loaded and not sent at the end of its slice is loaded again
	users := slices.Repeat([]string{"ada"}, changes)
	b.apply(t, users...)
	s := &sink{}
	id := b.addFrom(t, "app", s, nil, delivery.From{Beginning: true})
	b.work(t)
	b.eventually(t, id, "delivered "+strconv.Itoa(changes))
	for i, m := range s.messages() {
		require.EqualValues(t, i+1, m.ChangeID)
		require.Contains(t, string(m.User), fmt.Sprintf(`{"n": %d}`, i+1), "the row as this change left it")
	}
	_, messages := b.loaded()
	require.Equal(t, changes, messages, "each is loaded once")
}

func TestMessagesInHandAreBoundedByTheirSize(t *testing.T) {
	t.Parallel()
	const users, bytes = 200, 20_000
	b := setup(t)
	b.slice, b.maxInFlight = 5*time.Minute, 50*bytes
	var mu sync.Mutex
	sent, most := 0, 0
	s := &sink{traits: destination.Capabilities{Batch: 1, Parallel: 4}}
	s.set(func(_ context.Context, messages []destination.Message) []destination.Result {
		<-time.After(40 * time.Millisecond) // what the other side takes, so that there is time to load more
		_, loaded := b.loaded()
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
	b.apply(t, names...)
	_, err := b.project.Exec(t.Context(), `
		UPDATE capydb_auth.changes SET raw = jsonb_build_object('pad', repeat('x', $1::integer))`, bytes)
	require.NoError(t, err)
	id := b.addFrom(t, "app", s, nil, delivery.From{Beginning: true})
	b.work(t)
	b.eventually(t, id, "delivered "+strconv.Itoa(users))
	mu.Lock()
	defer mu.Unlock()
	require.LessOrEqual(t, most, 50+32, "what may be in hand, and a chunk")
}

// slow answers after a while.
func slow(context.Context, []destination.Message) []destination.Result {
	<-time.After(20 * time.Millisecond)
	return make([]destination.Result, 1)
}

// backlogOf makes a destination with a change of each of so many users waiting.
func backlogOf(tb testing.TB, b *testBundle, s *sink, users int) uuid.UUID {
	tb.Helper()
	names := make([]string, users)
	for i := range names {
		names[i] = fmt.Sprint("u", i)
	}
	b.apply(tb, names...)
	s.set(slow)
	b.slice = 5 * time.Minute
	return b.addFrom(tb, "app", s, nil, delivery.From{Beginning: true})
}

func TestAChangedConfigurationHoldsWhileARunIsAtWork(t *testing.T) {
	t.Parallel()
	const users = 1000 // they take 20 s
	b := setup(t)
	before, after := &sink{}, &sink{traits: destination.Capabilities{Batch: 1, Parallel: 16}}
	id := backlogOf(t, b, before, users)
	b.work(t)
	b.until(t, "true", func() string { return strconv.FormatBool(before.tried() > 0) })
	b.mu.Lock()
	b.types[id] = after
	b.mu.Unlock()
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.destinations SET updated_at = clock_timestamp() WHERE id = $1`, id)
	require.NoError(t, err)
	b.eventually(t, id, "delivered "+strconv.Itoa(users))
	require.Less(t, before.tried(), users/2)
	require.Equal(t, users, before.tried()+after.tried())
}

func TestARunEndsWhenItsDestinationIsRemoved(t *testing.T) {
	t.Parallel()
	const users = 250
	b := setup(t)
	s := &sink{}
	id := backlogOf(t, b, s, users)
	b.work(t)
	b.until(t, "true", func() string { return strconv.FormatBool(s.tried() > 0) })
	_, err := b.control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
	require.NoError(t, err)
	b.until(t, "0", func() string {
		return b.one(t, `SELECT count(*) FROM authsync.river_job WHERE kind = 'deliver' AND finalized_at IS NULL`)
	})
	require.Less(t, s.tried(), users/2)
}
