package jq_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/jq"
)

// bombs are expressions of which one step would take gigabytes, or never end.
func bombs() map[string]string {
	return map[string]string{
		"PlaceFarAlongAList":     `.b[536870910] = 1`,
		"PlaceWithinALoop":       `reduce range(100) as $i ({}; .[($i|tostring)][80000000] = 1)`,
		"LongText":               `"x" * 2147483000`,
		"LongTextInSteps":        `reduce range(40) as $i ("x"; . + .) | length`,
		"NumberOfManyDigits":     `("9" * 10000000) | tonumber | . + 1`,
		"NumbersMultiplied":      `("9" * 300000 | tonumber) as $n | reduce range(40) as $i ($n; . * .)`,
		"NestedQuantifiers":      `("a" * 3000000) | test("(((a{0,30}){0,30})*c?)*b")`,
		"ManyRepetitions":        `("a" * 20000) | [scan("((a{1,1000}){1,1000}){0,1}")] | length`,
		"SharedTrees":            `(reduce range(60) as $i (1; [., .])) as $a | (reduce range(60) as $i (1; [., .])) as $b | $a == $b`,
		"SharedTreeAsText":       `reduce range(60) as $i (1; [., .]) | tojson | length`,
		"SharedTreeAsOutput":     `reduce range(60) as $i (1; [., .])`,
		"SharedTreeSorted":       `[range(8) | reduce range(40) as $i (.; [., .])] | sort`,
		"Combinations":           `[[range(100)], [range(100)], [range(100)], [range(100)], [range(100)]] | [combinations]`,
		"Paths":                  `reduce range(24) as $i (1; [., .]) | [paths] | length`,
		"RecursionWithoutEnd":    `def f: [f]; f`,
		"RepetitionWithoutEnd":   `[repeat(1)]`,
		"LoopWithoutEnd":         `def f: f; f`,
		"SplitIntoMillions":      `("," * 50000000) | split(",") | length`,
		"ImplodedMillions":       `[range(20000000)] | implode`,
		"KeysWithoutEnd":         `reduce range(100000000) as $i ({}; .[$i|tostring] = $i) | keys | length`,
		"ManyPathsSetAtOnce":     `[range(3000000)] | to_entries | from_entries?`,
		"FormattedAgainAndAgain": `reduce range(60) as $i ("\"<"; (. + .) | @json | @html | @uri) | length`,
		"PaddedLeft":             `[range(100000000)] | join("xxxxxxxxxxxxxxxx")`,
	}
}

func TestBombsAreContained(t *testing.T) {
	t.Parallel()
	for name, source := range bombs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := compile(t, source).All(t.Context(), jq.Of(change()))
			require.ErrorAs(t, err, new(*jq.RunError))
			require.Regexp(t, "took longer than 100ms|needs more memory|more than 4 MiB|fails on this change", err.Error())
		})
	}
	// Registered last, so it runs when all bombs have gone off.
	t.Cleanup(func() {
		peak := peakMemory(t)
		require.Less(t, peak, int64(1<<30), "this process itself holds %d MB", peak>>20)
	})
}

// peakMemory is the greatest resident memory that this process has had; its workers are others.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if os.IsNotExist(err) {
		return 0 // not a Linux: there it is not measured
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, "VmHWM:"); is {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			require.NoError(t, err)
			return kilobytes << 10
		}
	}
	return 0
}

func TestNeighboursGoOnBesideABomb(t *testing.T) {
	t.Parallel()
	const mapping = `{email: .user.email, initial: .user.name[:1], tags: [.user | keys[]]}`
	bomb := compile(t, `("9" * 10000000) | tonumber | . + 1`)
	var group sync.WaitGroup
	for range 8 { // one expression has one worker at most, however often it runs
		group.Go(func() { _, _ = bomb.All(t.Context(), jq.Of(nil)) })
	}
	good := compile(t, mapping)
	for range 200 {
		value, ok, err := good.One(t.Context(), jq.Of(change()))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, map[string]any{"email": "ada@example.com", "initial": "A", "tags": []any{"email", "n", "name"}}, value)
	}
	group.Wait()
}

func TestAnExpressionThatCostsWorkersHalts(t *testing.T) {
	t.Parallel()
	e := compile(t, `if . == null then ("9" * 3000000 | tonumber + 1) else [.] end`)
	halts := 0
	for range jq.MaxKills {
		_, err := e.All(t.Context(), jq.Of(nil))
		var run *jq.RunError
		require.ErrorAs(t, err, &run)
		if run.Halt {
			halts++
			require.ErrorContains(t, err, "3 times within an hour")
		}
		_, err = e.All(t.Context(), jq.Of(1))
		require.NoError(t, err, "another value is no trouble")
	}
	require.Equal(t, 1, halts, "only the last one")
}

func TestAnExpressionThatIsAlwaysSlowHalts(t *testing.T) {
	t.Parallel()
	e := compile(t, `if . == null then [range(1e9)] else [.] end`)
	for n := range jq.MaxSlow {
		_, err := e.All(t.Context(), jq.Of(nil))
		var run *jq.RunError
		require.ErrorAs(t, err, &run)
		require.Equal(t, n == jq.MaxSlow-1, run.Halt, "after %d", n+1)
	}
	_, err := e.All(t.Context(), jq.Of(1))
	require.NoError(t, err, "another value is no trouble")
}

func TestValuesPassThroughAWorkerAsTheyAre(t *testing.T) {
	t.Parallel()
	input := map[string]any{
		"n": json.Number("12345678901234567890.123456789"), "big": json.Number("9007199254740993"), "text": "a\u0000\u2028<&>\U0001F600",
		"list": []any{nil, true, json.Number("1e400"), []any{}, map[string]any{}}, "": "empty key",
	}
	value, ok, err := compile(t, `[.] | .[0]`).One(t.Context(), jq.Of(input))
	require.NoError(t, err)
	require.True(t, ok)
	got, err := json.Marshal(value)
	require.NoError(t, err)
	want, err := json.Marshal(input)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	value, _, err = compile(t, `[$secrets.token, $n]`, "$secrets", "$n").One(t.Context(), jq.Of(nil), map[string]any{"token": "s3"}, json.Number("7"))
	require.NoError(t, err)
	require.Equal(t, []any{"s3", json.Number("7")}, value)
}

func TestInputsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	e := compile(t, `[.n] | .[0]`)
	other := compile(t, `{n} | .n`)
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			in := jq.Of(map[string]any{"n": json.Number(strconv.Itoa(i))})
			for _, expression := range []*jq.Expression{e, other, e} {
				value, _, err := expression.One(t.Context(), in)
				if err != nil || value != json.Number(strconv.Itoa(i)) {
					t.Errorf("input %d gave %v, %v", i, value, err)
				}
			}
		})
	}
	group.Wait()
}

// TestLightAndHeavyAgree runs expressions in this process and, wrapped into a list, in a worker.
func TestLightAndHeavyAgree(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		".", ".user", ".user.email", `.user["email"]`, `.user."email"`, ".user.none.deeper", ".user.email?", ".user.email != .before.email",
		".user.n == .before.n", ".user.n > 5", "(.user.none // .user.name) == \"Ada\"", ".user.email != null and (.before.none | not)",
		"if_changed(.email)", "if_changed(.name)", "null", "true", "\"text\"", "12", "-1.5", ".user.email | not", "$secrets.token",
		`"Bearer \($secrets.token)"`, ".user == .before", ".user.email.domain", ".user < .before", ".none == null",
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			secrets := map[string]any{"token": "s3cret"}
			light, lightErr := compile(t, source, "$secrets").All(t.Context(), jq.Of(change()), secrets)
			heavy, heavyErr := compile(t, "["+source+"] | .[]", "$secrets").All(t.Context(), jq.Of(change()), secrets)
			require.Equal(t, lightErr, heavyErr)
			one, err := json.Marshal(light)
			require.NoError(t, err)
			two, err := json.Marshal(heavy)
			require.NoError(t, err)
			require.JSONEq(t, string(one), string(two))
		})
	}
}

func BenchmarkMapping(b *testing.B) {
	for name, source := range map[string]string{
		"Light":  ".user.email",
		"Worker": `{email: .user.email, first: .user.name, changed: .changed}`,
	} {
		b.Run(name, func(b *testing.B) {
			e, err := jq.Compile("payload", source)
			require.NoError(b, err)
			in := change()
			begun := time.Now()
			for b.Loop() {
				if _, _, err := e.One(b.Context(), jq.Of(in)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(time.Since(begun).Microseconds())/float64(b.N), "µs/op")
		})
	}
}
