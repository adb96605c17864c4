package syncrun_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestStore(t *testing.T) {
	t.Parallel()

	t.Run("OneAtATime", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		first := b.start(t)
		results := make(chan error, 8)
		for range cap(results) {
			go func() {
				_, err := b.store.Start(context.Background(), b.projectID, provider.Clerk, syncrun.Order{Kind: provider.KindBackfill})
				results <- err
			}()
		}
		for range cap(results) {
			var running *syncrun.RunningError
			require.ErrorAs(t, <-results, &running)
			require.Equal(t, first.ID, running.Run.ID)
			require.ErrorContains(t, running, first.ID.String())
		}
		_, err := b.store.Start(t.Context(), b.projectID, provider.Auth0, syncrun.Order{Kind: provider.KindBackfill})
		require.NoError(t, err, "another provider's is another one")
	})

	t.Run("CancelEndsItAtTheNextPage", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1_000_000, 10)
		b.work(t, b.mirrors, 0)
		run := b.start(t)
		b.eventually(t, func(r syncrun.Run) bool { return r.Read >= 100 })
		cancelled, err := b.store.Cancel(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.NoError(t, err)
		require.Equal(t, run.ID, cancelled.ID)
		require.Equal(t, syncrun.Cancelled, cancelled.State)
		waittest.Until(t, func() bool {
			return one(t, b.control, `SELECT state::text FROM authsync.river_job`) == string(rivertype.JobStateCompleted)
		})
		latest, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.NoError(t, err)
		require.Equal(t, cancelled.Read, latest.Read)
		require.Equal(t, syncrun.Cancelled, latest.State)
		again, err := b.store.Cancel(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.NoError(t, err)
		require.Equal(t, latest, again)
	})

	t.Run("SaysWhatIsMissing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		_, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.ErrorIs(t, err, syncrun.ErrNoRun)
		_, err = b.store.Cancel(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.ErrorIs(t, err, syncrun.ErrNoRun)
		_, err = b.store.Start(t.Context(), uuid.New(), provider.Clerk, syncrun.Order{Kind: provider.KindBackfill})
		require.ErrorIs(t, err, project.ErrNoProject)
		b.account.openErr = fault.New(fault.Unsupported, "give secret_key")
		_, err = b.store.Start(t.Context(), b.projectID, provider.Clerk, syncrun.Order{Kind: provider.KindBackfill})
		require.True(t, fault.Is(err, fault.Unsupported), err)
	})
}
