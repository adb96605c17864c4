package delivery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestChangesArriveInOrderWithStableIDs(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Apply(t, "before")
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 4}}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u2", "u1", "u1")
	b.Eventually(t, id, "delivered 4")

	perUser := map[string][]int64{}
	for _, m := range s.Messages() {
		require.Equal(t, fmt.Sprintf("msg_%s_%d", strings.ReplaceAll(id.String(), "-", ""), m.ChangeID), m.ID)
		require.Equal(t, b.ProjectID, m.ProjectID)
		require.Equal(t, 1, m.Attempt)
		require.Contains(t, string(m.Row), fmt.Sprintf(`"n": %d`, m.ChangeID), "the row as the change left it")
		perUser[m.RecordID] = append(perUser[m.RecordID], m.ChangeID)
	}
	require.Equal(t, map[string][]int64{"u1": {2, 4, 5}, "u2": {3}}, perUser)
	b.Until(t, "relay_changes,deliver", func() string {
		return b.One(t, `SELECT string_agg(kind, ',' ORDER BY kind DESC) FROM authsync.job_requests WHERE job_id IS NULL`)
	})
}

func TestDestinationIsGivenThePast(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	users := make([]string, 1200) // more than two pages
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.Apply(t, users...)
	past, now := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 8}}, &deliverytest.Sink{}
	pastID := b.AddFrom(t, "past", past, nil, admin.From{Beginning: true})
	nowID := b.Add(t, "now", now)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, nowID, "delivered 1")
	b.Eventually(t, pastID, "delivered 1201")
	require.Len(t, past.Got(), 1201)
}
