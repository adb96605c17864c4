package waittest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestWaiting(t *testing.T) {
	t.Parallel()

	t.Run("EndsAtOnceIfItHolds", func(t *testing.T) {
		t.Parallel()
		asked := 0
		waittest.Until(t, func() bool { asked++; return true })
		require.Equal(t, 1, asked)
	})

	t.Run("AsksAgainUntilItHolds", func(t *testing.T) {
		t.Parallel()
		asked := 0
		waittest.Until(t, func() bool { asked++; return asked == 3 })
		require.Equal(t, 3, asked)
	})

	t.Run("ReceivesWhatComes", func(t *testing.T) {
		t.Parallel()
		channel := make(chan string)
		go func() { channel <- "it" }()
		require.Equal(t, "it", waittest.Receive(t, channel))
	})

	t.Run("ReceivesTheEndOfAChannel", func(t *testing.T) {
		t.Parallel()
		channel := make(chan struct{})
		close(channel)
		waittest.Receive(t, channel)
		require.NoError(t, waittest.Context(t).Err())
	})
}
