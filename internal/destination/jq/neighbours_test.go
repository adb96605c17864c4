package jq_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/jq"
)

// What a worker keeps of others' expressions leaves room for the next one: otherwise that would be ended, and halted, for them.
func TestTheExpressionsThatAWorkerKeepsAreBounded(t *testing.T) {
	t.Parallel()
	var small, large []string
	for i := range 300 {
		small = append(small, strconv.Itoa(i))
		large = append(large, fmt.Sprintf("[%d, .%s]", i, strings.Repeat(" ", 4000)))
	}
	expressions, _, err := jq.Keeps(small)
	require.NoError(t, err)
	require.Equal(t, 256, expressions)
	expressions, size, err := jq.Keeps(large)
	require.NoError(t, err)
	require.Equal(t, 32, expressions, "of 4 kB each")
	require.LessOrEqual(t, size, 128<<10)
	expressions, _, err = jq.Keeps(append(large[:1:1], large[0], large[0]))
	require.NoError(t, err)
	require.Equal(t, 1, expressions)
}

// An input of 1 MB can need 50 MB when decoded: two at once would leave no room for a run.
func TestAWorkerHoldsOneInput(t *testing.T) {
	t.Parallel()
	require.False(t, jq.HoldsInput())
}

// The size of an input is no fault of the expression: reading this one takes longer than an expression may.
func TestReadingTheInputIsNotTheExpressionsTime(t *testing.T) {
	t.Parallel()
	input := jq.OfJSON([]byte("[" + strings.Repeat("0,", 1<<20) + "0]"))
	value, ok, err := compile(t, "length").One(t.Context(), input)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "1048577", fmt.Sprint(value))
}
