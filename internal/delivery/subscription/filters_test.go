package subscription_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
)

// all is a filter that wants every change.
type all struct{ condition *string }

func (*all) Wants(destination.Message) (wanted bool, why string, err error) { return true, "", nil }

func newFilters(t *testing.T, now func() time.Time) *subscription.Filters {
	t.Helper()
	f, err := subscription.New(subscription.Config{
		New: func(_, _ []string, condition *string) (subscription.Filter, error) { return &all{condition}, nil },
		Now: now,
	})
	require.NoError(t, err)
	return f
}

func TestFilterIsKeptWhileItIsTheSame(t *testing.T) {
	t.Parallel()
	filters := newFilters(t, nil)
	filterOf := func(id uuid.UUID, eventTypes, fields []string, condition *string) subscription.Filter {
		return filters.FilterOf(&subscription.Subscription{ID: id, EventTypes: eventTypes, Fields: fields, Condition: condition})
	}
	id, one, two := uuid.New(), "1", "2"
	again := "1" // another pointer
	first := filterOf(id, []string{"user.created"}, []string{"email"}, &one)
	require.Same(t, first, filterOf(id, []string{"user.created"}, []string{"email"}, &again))
	for name, other := range map[string]subscription.Filter{
		"OfAnotherDestination": filterOf(uuid.New(), []string{"user.created"}, []string{"email"}, &one),
		"OfOtherEventTypes":    filterOf(id, []string{"user.deleted"}, []string{"email"}, &one),
		"OfOtherFields":        filterOf(id, []string{"user.created"}, []string{"username"}, &one),
		"OfAnotherCondition":   filterOf(id, []string{"user.created"}, []string{"email"}, &two),
		"OfNoCondition":        filterOf(id, []string{"user.created"}, []string{"email"}, nil),
	} {
		require.NotSame(t, first, other, name)
	}
}

func TestKeptFiltersAreBounded(t *testing.T) {
	t.Parallel()
	start := time.Now()
	now := start
	filters := newFilters(t, func() time.Time { return now })
	filterOf := func(id uuid.UUID) subscription.Filter { return filters.FilterOf(&subscription.Subscription{ID: id}) }
	longestAgo, used := uuid.New(), uuid.New()
	filterOf(longestAgo)
	kept := filterOf(used)
	for i := range subscription.MaxFilters {
		now = start.Add(time.Duration(i) * time.Millisecond)
		filterOf(uuid.New())
		filterOf(used)
	}
	require.Equal(t, subscription.MaxFilters, filters.Len())
	require.Same(t, kept, filterOf(used), "what is used stays")
	now = start.Add(2 * subscription.KeepFilter)
	filterOf(uuid.New())
	require.Equal(t, 1, filters.Len(), "what nobody uses goes")
}
