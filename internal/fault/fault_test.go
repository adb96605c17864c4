package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
)

func TestCodeIsFoundThroughWhatWrapsIt(t *testing.T) {
	t.Parallel()
	cause := errors.New("password authentication failed for user shop")
	err := fmt.Errorf("install: %w", fault.Wrap(fault.DatabaseUnusable, cause, "the database refuses the role"))
	require.True(t, fault.Is(err, fault.NameTaken, fault.DatabaseUnusable))
	require.False(t, fault.Is(err, fault.NameTaken))
	require.ErrorIs(t, err, cause)
	require.Equal(t, "install: the database refuses the role", err.Error(), "the cause is not shown")
}

func TestOutermostCodeCounts(t *testing.T) {
	t.Parallel()
	err := fault.Wrap(fault.RowRefused, fault.New(fault.ProjectNotFound, "no project"), "no row")
	require.True(t, fault.Is(err, fault.RowRefused))
	require.False(t, fault.Is(err, fault.ProjectNotFound))
}

func TestOtherErrorsHaveNoCode(t *testing.T) {
	t.Parallel()
	require.False(t, fault.Is(nil, fault.Invalid))
	require.False(t, fault.Is(errors.New("invalid_request"), fault.Invalid))
	e, ok := fault.As(fmt.Errorf("list: %w", fault.ErrBadCursor))
	require.True(t, ok)
	require.Equal(t, "cursor", e.Field)
}
