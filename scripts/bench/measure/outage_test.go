package measure_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/scripts/bench/measure"
)

func TestRunMeasuresWhatAnOutageLeavesBehind(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Only: "outage", Events: 80, Steady: 8})
	require.NoError(t, err, out.String())
	text := out.String()
	require.Regexp(t, `(?m)^ +alone +[\d.]+ ms +[\d.]+ ms$`, text)
	require.Regexp(t, `(?m)^ +beside 80 single messages of another one, gone [\d.m]+s after its database came back +[\d.]+ ms +[\d.]+ ms$`, text)
	require.Regexp(t, `(?m)^ +it was unavailable for [\d.m]+s; the aim is to have caught up [\d.m]+s after its return`, text)
	require.Contains(t, text, "a project with 300 events a second")
	for _, destinations := range []string{"0", "1", "3"} {
		require.Regexp(t, `(?m)^ +`+destinations+` destinations(, but this machine takes only \d+ a second)? +[\d.]+ ms +[\d.]+ ms$`, text)
	}
}
