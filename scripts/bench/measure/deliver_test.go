package measure_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/scripts/bench/measure"
)

// That there are numbers shows that every change has arrived, also beside a destination
// that hangs.
func TestRunMeasuresDeliveries(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Only: "deliver", Changes: 400, Waiting: 800, Steady: 10})
	require.NoError(t, err, out.String())
	text := out.String()
	require.Regexp(t, `(?m)one UPDATE a delivery, backlog of 100 +[1-9]\d* +\d+ us$`, text)
	require.Regexp(t, `(?m)authsync: backlog of 400, 4 a user, [\d.]+ times the reference +[1-9]\d* +\d+ us$`, text)
	for _, beside := range []string{
		`alone`, `beside a destination that never answers`, `beside 800 waiting deliveries`, `beside both`,
	} {
		require.Regexp(t, `(?m)^ +`+beside+` +[\d.]+ ms +[\d.]+ ms +\d+\.\d\d +\d+/s$`, text)
	}
	require.NotContains(t, text, "NaN")
}
