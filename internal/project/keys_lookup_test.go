package project_test

import (
	"context"
	"crypto/sha256"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// asked keeps the statements that are sent, and with what.
type asked struct {
	mu         sync.Mutex
	statements []string
	args       [][]any
}

func (a *asked) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.statements, a.args = append(a.statements, data.SQL), append(a.args, data.Args)
	return ctx
}

func (a *asked) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// The time that a wrong key takes says nothing about how much of it is right: all that the database is asked for is the hash of
// the whole, by one statement, which is the same for any key.
func TestAKeyIsLookedForByTheHashOfTheWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "deploy"})
	require.NoError(t, err)
	config := b.pool.Config()
	seen := &asked{}
	config.ConnConfig.Tracer = seen
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	store := storeWithKeys(t, &testBundle{pool: pool, mirror: &installer{}}, b.key)
	var statement string
	for _, wrong := range []string{secret[:14] + "0000000000000000000000000000000000000000000", secret[:len(secret)-1] + "~", "capy_live_wrong"} {
		seen.statements, seen.args = nil, nil
		_, err := store.Authenticate(t.Context(), wrong)
		require.ErrorIs(t, err, project.ErrNoKey)
		require.Len(t, seen.statements, 1, wrong)
		hash := sha256.Sum256([]byte(wrong))
		require.Equal(t, []any{hash[:]}, seen.args[0], wrong)
		if statement == "" {
			statement = seen.statements[0]
		}
		require.Equal(t, statement, seen.statements[0])
	}
}
