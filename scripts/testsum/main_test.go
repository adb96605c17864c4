package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each package below testdata fails in its way; go test is run on it for real.
func TestTheLastLinesTellTheCause(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		args   []string
		tells  []string
		closes string
	}{
		"assertion": {nil, []string{
			"=== FAIL: scripts/testsum/testdata/assertion TestParent/DoesNotHold\n",
			"a_test.go:18", `expected: "applied"`, `actual  : "stale"`, "the outcome of event 7", "the last word",
			"=== FAIL: scripts/testsum/testdata/assertion TestLongDifference\n", "lines are left out",
		}, "1 passed, 2 failed"},
		"property": {[]string{"-rapid.nofailfile"}, []string{
			"TestProperty\n", `[rapid] draw n: 17`, `"17" is not less than "17"`, "n is small", "-rapid.seed=",
			"TestFlakyProperty\n", "flaky test, can not reproduce", "Original traceback", "r_test.go:26",
		}, "0 passed, 2 failed"},
		"panics":  {nil, []string{"TestPanics\n", "panic: assignment to entry in nil map", "panics_test.fill(", "p_test.go:16", "p_test.go:13", "1 tests did not come to an end", "TestWaits"}, "0 passed, 1 failed"},
		"timeout": {[]string{"-timeout=300ms"}, []string{"TestHangs/InASubtest\n", "panic: test timed out after 300ms", "running tests:", "TestHangs/InASubtest", "timeout_test.hang(", "t_test.go:9"}, "0 passed, 1 failed"},
		"build":   {nil, []string{"=== FAIL: scripts/testsum/testdata/build\n", "b_test.go:5:41: undefined: undefined"}, "0 passed, 1 failed"},
		"killed":  {nil, []string{"TestIsKilled\n", "signal: killed"}, "0 passed, 1 failed"},
		"exits":   {nil, []string{"=== FAIL: scripts/testsum/testdata/exits\n", "found unexpected goroutines"}, "1 passed, 1 failed"},
		"race":    {nil, []string{"TestRaces\n", "WARNING: DATA RACE", "Previous write at", "r_test.go:8", "r_test.go:11"}, "0 passed, 1 failed"},
	} {
		if name == "race" && !raceDetector() {
			continue // its library would have to be compiled for this alone
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, out, log := runTests(t, append([]string{"./testdata/" + name}, c.args...)...)
			require.NotZero(t, status)
			_, end, found := strings.Cut(out, "=== FAIL")
			require.True(t, found, out)
			for _, want := range c.tells {
				require.Contains(t, "=== FAIL"+end, want)
			}
			require.Less(t, strings.Count(end, "\n"), 160)
			require.Less(t, len(end), 16_000)
			require.True(t, strings.HasSuffix(out, "\n"+c.closes+"\n"), out)
			require.Contains(t, out, log)
		})
	}

	t.Run("passes", func(t *testing.T) {
		t.Parallel()
		status, out, _ := runTests(t, "./testdata/passes")
		require.Zero(t, status)
		require.NotContains(t, out, "FAIL")
		require.Contains(t, out, "\nnot run: a picture\n")
		require.True(t, strings.HasSuffix(out, "\n2 passed, 0 failed, 1 skipped\n"), out)
	})

	t.Run("NoSuchPackage", func(t *testing.T) {
		t.Parallel()
		status, out, _ := runTests(t, "./testdata/nowhere")
		require.NotZero(t, status)
		require.Contains(t, out, "directory not found")
		require.True(t, strings.HasSuffix(out, "\n0 passed, 1 failed\n"), out)
	})
}

func TestAllOfTheOutputIsKept(t *testing.T) {
	t.Parallel()
	_, _, log := runTests(t, "./testdata/assertion")
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(text), "line 2500 of a long log")
}

func runTests(t *testing.T, args ...string) (status int, out, log string) {
	t.Helper()
	var text strings.Builder
	log = filepath.Join(t.TempDir(), "test.log")
	command := []string{log, "go", "test", "-count=1", "-vet=off"}
	if raceDetector() {
		command = append(command, "-race")
	}
	status, err := run(t.Context(), &text, append(command, args...))
	require.NoError(t, err)
	return status, text.String(), log
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	for _, setting := range info.Settings {
		if setting.Key == "-race" {
			return setting.Value == "true"
		}
	}
	return false
}

func TestARunThatWasCutShortHasFailed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := newSummary(&out, io.Discard)
	require.NoError(t, s.read(strings.NewReader(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
`)))
	s.print("test.log", true)
	require.Contains(t, out.String(), "1 tests did not come to an end: p TestB\n")
	require.True(t, strings.HasSuffix(out.String(), "\n1 passed, 1 failed\n"), out.String())
}
