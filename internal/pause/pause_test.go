package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pause"
)

func TestFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		require.NoError(t, pause.For(t.Context(), time.Hour))
		require.Equal(t, time.Hour, time.Since(begun))
		require.NoError(t, pause.For(t.Context(), -time.Second))

		cause := errors.New("we are shutting down")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, cause)
		defer cancel()
		require.ErrorIs(t, pause.For(ctx, time.Hour), cause)
		require.Equal(t, time.Hour+time.Minute, time.Since(begun))
		require.ErrorIs(t, pause.For(ctx, 0), cause)
	})
}
