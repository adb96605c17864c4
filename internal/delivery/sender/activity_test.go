package sender_test

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/sender"
)

func TestCrowdKnowsWhetherOthersAreAtWork(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var c sender.Activity
	require.False(t, c.OthersActive("me", at), "nobody has begun anything")
	c.Begin("me", at)
	require.False(t, c.OthersActive("me", at.Add(time.Millisecond)), "I am alone")
	require.True(t, c.OthersActive("you", at.Add(time.Millisecond)))
	c.Begin("you", at.Add(100*time.Millisecond))
	require.True(t, c.OthersActive("me", at.Add(200*time.Millisecond)))
	c.Begin("me", at.Add(500*time.Millisecond))
	c.Begin("me", at.Add(600*time.Millisecond))
	require.True(t, c.OthersActive("me", at.Add(700*time.Millisecond)), "you began before me, but lately")
	require.False(t, c.OthersActive("me", at.Add(1600*time.Millisecond)), "you have not come again")
	require.True(t, c.OthersActive("you", at.Add(1500*time.Millisecond)))
}

// Nobody waits for what a destination is tried with again, or for upkeep.
func TestCrowdHearsOfJobsThatSomebodyWaitsFor(t *testing.T) {
	t.Parallel()
	for kind, counts := range map[string]bool{
		"apply_inbox": true, "relay_changes": true, "deliver": true,
		"retry_delivery": false, "rescue_deliveries": false, "prune_deliveries": false,
	} {
		var c sender.Activity
		require.NoError(t, c.WorkBegin(t.Context(), &rivertype.JobRow{Kind: kind, EncodedArgs: []byte(`{"destination_id": "1"}`)}))
		require.Equal(t, counts, c.OthersActive("me", time.Now()), kind)
	}
}
