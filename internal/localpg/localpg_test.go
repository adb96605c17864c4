package localpg_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
)

func TestThrowaway(t *testing.T) {
	t.Parallel()
	s, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true})
	require.NoError(t, err)
	c, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, s.Dir())
}
