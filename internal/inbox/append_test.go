package inbox_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgtest"
)

func TestAppendedDeliveryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	d := delivery(func(d *inbox.Delivery) {
		d.Provider, d.DeliveryID = "clerk", "msg_1"
		d.ReceivedAt = now().Add(-time.Second).Add(789 * time.Nanosecond)
		d.Body = []byte("{\"b\":1,\"a\":\"\\u0000\"} \xff\x00")
	})
	id, err := in.Append(t.Context(), d)
	require.NoError(t, err)

	at := now().Add(-time.Second)
	got, err := in.Load(t.Context(), d.ProjectID, []int64{id}, at, at)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "clerk", got[0].Provider)
	require.Equal(t, id, got[0].InboxID)
	require.Equal(t, "msg_1", got[0].DeliveryID)
	require.Equal(t, at, got[0].ReceivedAt)
	require.Equal(t, d.Headers, got[0].Headers)
	require.Equal(t, d.Body, got[0].Body)

	other, err := in.Load(t.Context(), uuid.New(), []int64{id}, at, at)
	require.NoError(t, err)
	require.Empty(t, other, "another project's delivery")
}
