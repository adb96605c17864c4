package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMessagesOfTheLastDayAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.project(t, "other")
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO authsync.message_counts (project_id, slot, began_at, message_count)
		SELECT $1, n, date_bin('15 minutes', now(), '2000-01-01Z') - n * interval '15 minutes', 30 FROM generate_series(3, 5) AS n`, shop.ID)
	require.NoError(t, err)
	counted := b.call(t, http.MethodGet, "/projects/shop/message-counts", "")
	require.Equal(t, http.StatusOK, counted.status)
	require.InDelta(t, 15*time.Minute.Seconds(), counted.body["interval_seconds"], 0)
	sum := func(data []any) (total float64) {
		require.Len(t, data, 96)
		for _, one := range data {
			object, _ := one.(map[string]any)
			n, _ := object["messages"].(float64)
			total += n
		}
		return total
	}
	require.InDelta(t, 90, sum(counted.data(t)), 0)
	require.Zero(t, sum(b.call(t, http.MethodGet, "/projects/other/message-counts", "").data(t)))
}
