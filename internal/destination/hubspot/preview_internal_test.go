package hubspot

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

// That no worker is free for an expression is not about the expression, and passes.
func TestPreviewWithoutAWorkerIsUnavailable(t *testing.T) {
	t.Parallel()
	of := func(err error) error {
		unmade := destination.Unmade(err, err.Error())
		return noPreview(&unmade)
	}
	err := of(&jq.UnavailableError{Err: errors.New("no processes")})
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.ErrorContains(t, err, "no processes")
	require.True(t, fault.Is(of(&jq.RunError{Detail: "it fails"}), fault.Invalid))
	require.True(t, fault.Is(of(&jq.RunError{Detail: "it was killed", Halt: true}), fault.Invalid))
}
