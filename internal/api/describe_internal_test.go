package api

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

// An expression of the customer's that fails is no fault of the server, whoever ran it.
func TestAnExpressionThatFailsIsTheCallers(t *testing.T) {
	t.Parallel()
	f := describe(fmt.Errorf("sign: %w", &jq.RunError{Detail: "the definition's sample fails on this: null has no keys"}))
	require.EqualValues(t, fault.Invalid, f.Code)
	require.Equal(t, "the definition's sample fails on this: null has no keys", f.Detail)
	require.EqualValues(t, fault.Unavailable, describe(&jq.UnavailableError{Err: errors.New("no processes")}).Code)
}
