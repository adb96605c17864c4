package mirror_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestFindingsAreForgottenBitByBit(t *testing.T) {
	t.Parallel()
	tx := pgtest.TxProject(t)
	old, now := uuid.New(), uuid.New()
	_, err := tx.Exec(t.Context(), `
		INSERT INTO capydb_auth.reconcile_findings (provider, record_type, record_id, run_id, finding, state)
		SELECT 'clerk', CASE WHEN u = '' THEN '' ELSE 'user' END, u, CASE WHEN u IN ('x', 'y') THEN $1::uuid ELSE $2 END, 'equal', 'none' FROM unnest('{"",a,b,x,y}'::text[]) AS u
		UNION ALL SELECT 'auth0', 'user', 'a', $2, 'equal', 'none'`, old, now)
	require.NoError(t, err)
	forget := func(runID *uuid.UUID) (forgotten int64, left string) {
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT capydb_auth.reconcile_forget('clerk', $1, 2)`, runID).Scan(&forgotten))
		require.NoError(t, tx.QueryRow(t.Context(),
			`SELECT string_agg(provider || '/' || record_id, ' ' ORDER BY provider, record_id) FROM capydb_auth.reconcile_findings`).Scan(&left))
		return forgotten, left
	}
	for _, step := range []struct {
		runID     *uuid.UUID
		forgotten int64
		left      string
	}{
		{&old, 2, "auth0/a clerk/ clerk/a clerk/b"},
		{&old, 0, "auth0/a clerk/ clerk/a clerk/b"},
		{nil, 2, "auth0/a clerk/b"}, // that which says whose they are goes first
		{nil, 1, "auth0/a"},
		{nil, 0, "auth0/a"},
	} {
		forgotten, left := forget(step.runID)
		require.Equal(t, step.forgotten, forgotten)
		require.Equal(t, step.left, left)
	}
}
