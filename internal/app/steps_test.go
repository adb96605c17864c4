package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSteps(t *testing.T) {
	t.Parallel()

	t.Run("StopInReverse", func(t *testing.T) {
		t.Parallel()
		var did []string
		s := &steps{log: slog.New(slog.DiscardHandler)}
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, s.start(t.Context(), name, func(context.Context) (stopFunc, error) {
				did = append(did, "start "+name)
				return func(context.Context) error { did = append(did, "stop "+name); return nil }, nil
			}))
		}
		require.NoError(t, s.stop(t.Context()))
		require.Equal(t, []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}, did)
		require.NoError(t, s.stop(t.Context()), "stopping twice does nothing")
		require.Len(t, did, 6)
	})

	t.Run("AFailedStepIsNamedAndThoseBeforeItStop", func(t *testing.T) {
		t.Parallel()
		stopped := false
		s := &steps{log: slog.New(slog.DiscardHandler)}
		require.NoError(t, s.start(t.Context(), "a", func(context.Context) (stopFunc, error) {
			return func(context.Context) error { stopped = true; return nil }, nil
		}))
		err := s.start(t.Context(), "b", func(context.Context) (stopFunc, error) { return nil, errors.New("no luck") })
		require.EqualError(t, err, "b: no luck")
		require.NoError(t, s.stop(t.Context()))
		require.True(t, stopped)
	})

	t.Run("AStepThatTakesAllTheTimeLeavesTheOthersSome", func(t *testing.T) {
		t.Parallel()
		var left time.Duration
		s := &steps{log: slog.New(slog.DiscardHandler), started: []step{
			{"a", func(ctx context.Context) error {
				end, _ := ctx.Deadline()
				left = time.Until(end)
				return ctx.Err()
			}},
			{"b", func(ctx context.Context) error { <-ctx.Done(); return nil }},
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.NoError(t, s.stop(ctx))
		require.Positive(t, left)
	})

	t.Run("AStepThatDoesNotStopKeepsNoOtherFromIt", func(t *testing.T) {
		t.Parallel()
		stopped := false
		s := &steps{log: slog.New(slog.DiscardHandler), started: []step{
			{"a", func(context.Context) error { stopped = true; return nil }},
			{"b", func(context.Context) error { return errors.New("stuck") }},
			{"c", nil},
		}}
		require.EqualError(t, s.stop(t.Context()), "stop b: stuck")
		require.True(t, stopped)
	})
}
