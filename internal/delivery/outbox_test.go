package delivery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
)

func TestChangesArriveInOrderWithStableIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apply(t, "before")
	s := &sink{traits: destination.Capabilities{Parallel: 4}}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u2", "u1", "u1")
	b.eventually(t, id, "delivered 4")

	perUser := map[string][]int64{}
	for _, m := range s.messages() {
		require.Equal(t, fmt.Sprintf("msg_%s_%d", strings.ReplaceAll(id.String(), "-", ""), m.ChangeID), m.ID)
		require.Equal(t, b.projectID, m.ProjectID)
		require.Equal(t, 1, m.Attempt)
		require.Contains(t, string(m.User), fmt.Sprintf(`"n": %d`, m.ChangeID), "the row as the change left it")
		perUser[m.UserID] = append(perUser[m.UserID], m.ChangeID)
	}
	require.Equal(t, map[string][]int64{"u1": {2, 4, 5}, "u2": {3}}, perUser)
	b.until(t, "relay_changes,deliver", func() string {
		return b.one(t, `SELECT string_agg(kind, ',' ORDER BY kind DESC) FROM authsync.job_requests WHERE job_id IS NULL`)
	})
}

func TestDestinationIsGivenThePast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := make([]string, 1200) // more than two pages
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.apply(t, users...)
	past, now := &sink{traits: destination.Capabilities{Parallel: 8}}, &sink{}
	pastID := b.addFrom(t, "past", past, nil, delivery.From{Beginning: true})
	nowID := b.add(t, "now", now)
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, nowID, "delivered 1")
	b.eventually(t, pastID, "delivered 1201")
	require.Len(t, past.got(), 1201)
}
