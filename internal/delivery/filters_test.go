package delivery_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
)

func TestFilterIsKeptWhileItIsTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, one, two := uuid.New(), "1", "2"
	again := "1" // another pointer
	first := b.outbox.FilterOf(id, []string{"user.created"}, []string{"email"}, &one)
	require.Same(t, first, b.outbox.FilterOf(id, []string{"user.created"}, []string{"email"}, &again))
	for name, other := range map[string]delivery.Filter{
		"OfAnotherDestination": b.outbox.FilterOf(uuid.New(), []string{"user.created"}, []string{"email"}, &one),
		"OfOtherEventTypes":    b.outbox.FilterOf(id, []string{"user.deleted"}, []string{"email"}, &one),
		"OfOtherFields":        b.outbox.FilterOf(id, []string{"user.created"}, []string{"username"}, &one),
		"OfAnotherCondition":   b.outbox.FilterOf(id, []string{"user.created"}, []string{"email"}, &two),
		"OfNoCondition":        b.outbox.FilterOf(id, []string{"user.created"}, []string{"email"}, nil),
	} {
		require.NotSame(t, first, other, name)
	}
}

func TestKeptFiltersAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	start := time.Now()
	b.setClock(start)
	longestAgo, used := uuid.New(), uuid.New()
	b.outbox.FilterOf(longestAgo, nil, nil, nil)
	kept := b.outbox.FilterOf(used, nil, nil, nil)
	for i := range delivery.MaxFilters {
		b.setClock(start.Add(time.Duration(i) * time.Millisecond))
		b.outbox.FilterOf(uuid.New(), nil, nil, nil)
		b.outbox.FilterOf(used, nil, nil, nil)
	}
	require.Equal(t, delivery.MaxFilters, b.outbox.Filters())
	require.Same(t, kept, b.outbox.FilterOf(used, nil, nil, nil), "what is used stays")
	b.setClock(start.Add(2 * delivery.KeepFilter))
	b.outbox.FilterOf(uuid.New(), nil, nil, nil)
	require.Equal(t, 1, b.outbox.Filters(), "what nobody uses goes")
}
