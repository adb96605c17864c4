package syncrun_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A row that a transaction of the customer's holds delays a run, and fails nobody.
func TestALockedUserDelaysARun(t *testing.T) {
	t.Parallel()
	const users = 30
	for name, kind := range map[string]string{"Backfill": provider.KindBackfill, "Reconcile": provider.KindReconcile} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, users, 10)
			_, err := b.project.Exec(t.Context(), `SELECT capydb_auth.ensure_user('user_000007')`)
			require.NoError(t, err)
			tx, err := b.project.Begin(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // a test that failed has not ended it
			_, err = tx.Exec(t.Context(), `SELECT FROM capydb_auth.users WHERE id = 'user_000007' FOR UPDATE`)
			require.NoError(t, err)

			_, err = b.store.Start(t.Context(), b.projectID, provider.Clerk, syncrun.Order{Kind: kind})
			require.NoError(t, err)
			b.work(t, b.mirrors, 0)
			latest := func() *syncrun.Run {
				run, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, kind)
				require.NoError(t, err)
				return &run
			}
			waittest.Until(t, func() bool { return latest().WaitReason != nil })
			require.Contains(t, *latest().WaitReason, "locked by another transaction in the project's database")
			require.Equal(t, "9", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE email IS NOT NULL`), "the others of the page")
			require.NoError(t, tx.Rollback(t.Context()))

			waittest.Until(t, func() bool { return latest().Finished() })
			require.Equal(t, syncrun.Done, latest().State)
			require.Zero(t, latest().Failed)
			require.Equal(t, "30", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE email IS NOT NULL`))
		})
	}
}
