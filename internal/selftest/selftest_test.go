package selftest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/selftest"
)

func TestOnlyMadeUpUsersAreTakenForSuch(t *testing.T) {
	t.Parallel()
	for _, name := range provider.Names() {
		require.True(t, selftest.IsUserID(selftest.NewUserID(name)), name)
	}
	for _, id := range []string{
		"", "auth0|1", "authsync_selftest_", "authsync_selftest_grace", "auth0|authsync_selftest_",
		"authsync_selftest_0123456789abcdef0123456789abcdeF", "authsync_selftest_0123456789abcdef0123456789abcdef0",
		"x_authsync_selftest_0123456789abcdef0123456789abcdef",
	} {
		require.False(t, selftest.IsUserID(id), id)
	}
}

func TestReasonIsReadBack(t *testing.T) {
	t.Parallel()
	f := selftest.Finding{Outcome: "failed", Problem: "no_ada"}
	text, rolledBack := selftest.Said("name: replaced 1 of its characters; " + f.Reason())
	require.True(t, rolledBack)
	require.Equal(t, "failed (no_ada), no row", text)
	_, rolledBack = selftest.Said("newer events had already set all its fields")
	require.False(t, rolledBack)
}
