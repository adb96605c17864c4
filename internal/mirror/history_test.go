package mirror_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// TestHistoryIsPagedByBytes reads the history of a user whose profile is large and changed often.
func TestHistoryIsPagedByBytes(t *testing.T) {
	t.Parallel()
	const updates, profile = 40, 300 << 10
	pool := pgtest.Project(t)
	var want []string
	for i := range updates {
		id := fmt.Sprintf("e%02d", i)
		// What compresses well is small in the table and large in an answer.
		apply(t, pool, largeProfile(id, i, profile))
		want = append(want, id)
	}
	m := newMirrors(t, pool)
	var got []string
	pages := 0
	for before := int64(0); ; pages++ {
		h, err := m.History(t.Context(), projectID(), "u1", before)
		require.NoError(t, err)
		require.NotEmpty(t, h.Changes)
		bytes := 0
		var ids []string
		for _, c := range h.Changes {
			bytes += len(c.Before) + len(c.After)
			ids = append(ids, c.EventID)
		}
		require.Less(t, bytes, 3<<20)
		got = slices.Concat(ids, got)
		if h.ChangesBefore == nil {
			break
		}
		before = *h.ChangesBefore
	}
	require.Equal(t, want, got, "each change is in one page")
	require.Greater(t, pages, 3)
}

// A page has as many changes as are asked for, and says whether there are older ones.
func TestAPageOfChangesIsAsLongAsAskedFor(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	const updates, most = 40, 20 // more than are read at once
	for i := range updates {
		apply(t, pool, []mirror.Event{update(fmt.Sprintf("e%02d", i), i, "email", fmt.Sprintf("%d@example.com", i))})
	}
	m := newMirrors(t, pool)
	read := func(before int64) mirror.RecordHistory {
		h, err := m.RecordHistory(t.Context(), projectID(), record.Ref{Type: record.User, ID: "u1"}, before, most)
		require.NoError(t, err)
		require.Len(t, h.Changes, most)
		return h
	}
	newest := read(0)
	require.Equal(t, "e39", newest.Changes[most-1].EventID)
	oldest := read(*newest.ChangesBefore)
	require.Equal(t, "e00", oldest.Changes[0].EventID)
	require.Nil(t, oldest.ChangesBefore)
}

func TestOneLargeChangeIsAPage(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	for i := range 3 {
		apply(t, pool, largeProfile(fmt.Sprintf("e%d", i), i, 3<<20))
	}
	h, err := newMirrors(t, pool).History(t.Context(), projectID(), "u1", 0)
	require.NoError(t, err)
	require.Len(t, h.Changes, 1)
	require.Equal(t, "e2", h.Changes[0].EventID)
	require.Equal(t, h.Changes[0].ID, *h.ChangesBefore)
}

func largeProfile(id string, second, size int) []mirror.Event {
	return []mirror.Event{withRaw(update(id, second), fmt.Sprintf(`{"n": %d, "about": %q}`, second, strings.Repeat("x", size)))}
}
