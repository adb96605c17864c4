package jq

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is too large is named as such, however long it took: a worker that is stopped by its time says that instead.
func TestAnAnswerThatIsTooLargeIsNamed(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", maxAnswer/2-10)
	_, err := marshalAll(t.Context(), []any{half, half})
	require.NoError(t, err)
	_, err = marshalAll(t.Context(), []any{half, half, half})
	require.ErrorIs(t, err, errTooLarge)
}
