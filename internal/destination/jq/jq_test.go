package jq_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

func compile(t *testing.T, source string, variables ...string) *jq.Expression {
	t.Helper()
	e, err := jq.Compile("condition", source, variables...)
	require.NoError(t, err)
	return e
}

func change() map[string]any {
	return map[string]any{
		"record_type": "user",
		"before":      map[string]any{"email": "old@example.com", "name": "Ada", "n": json.Number("9007199254740993")},
		"user":        map[string]any{"email": "ada@example.com", "name": "Ada", "n": json.Number("9007199254740993")},
	}
}

func TestCompileSaysWhatToChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string
		says   []string
	}{
		"Empty":           {" \n", []string{"condition is empty", ".user.email"}},
		"EndsTooEarly":    {"{id: .user.id", []string{"too early", "line 1, character 14"}},
		"OddToken":        {".user\n | .email }", []string{"line 2, character 11", `"}"`}},
		"UnknownFunction": {"upper(.user)", []string{"upper/1"}},
		"WrongArguments":  {"test", []string{"test/0"}},
		"UnknownVariable": {"$user.email", []string{"$user", "no variables here"}},
		"Clock":           {"{at: now}", []string{"now", ".changed_at"}},
		"ClockWithin":     {"if .a then [.b[] | (now - 1)] else 2 end", []string{"now"}},
		"LocalTime":       {"0 | localtime", []string{"localtime", "gmtime"}},
		"Environment":     {"env.HOME", []string{"env", "nothing else"}},
		"Input":           {"input", []string{"input", "nothing else"}},
		"Module":          {`import "a" as a; a::b`, []string{"module"}},
		"Include":         {`include "a"; b`, []string{"module"}},
		"TooLong":         {strings.Repeat(" ", 20000) + "1", []string{"20001 bytes", "16384"}},
		"NoUTF8":          {"\"\xff\"", []string{"UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := jq.Compile("condition", c.source)
			require.True(t, fault.Is(err, fault.Invalid))
			require.ErrorContains(t, err, "condition")
			for _, part := range c.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

func TestOwnFunctionsMayHaveAnyName(t *testing.T) {
	t.Parallel()
	value, ok, err := compile(t, "def now: 7; now + 1").One(t.Context(), jq.Of(nil))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, json.Number("8"), value)
}

func TestIfChanged(t *testing.T) {
	t.Parallel()
	const source = "{email: if_changed(.email), name: if_changed(.name), none: if_changed(.none)}"
	value, _, err := compile(t, source).One(t.Context(), jq.Of(change()))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"email": "ada@example.com", "name": nil, "none": nil}, value)

	created := change()
	created["before"] = nil
	value, _, err = compile(t, source).One(t.Context(), jq.Of(created))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"email": "ada@example.com", "name": "Ada", "none": nil}, value)
}

func TestLargeNumbersStay(t *testing.T) {
	t.Parallel()
	e := compile(t, ".user.n")
	value, _, err := e.One(t.Context(), jq.Of(change()))
	require.NoError(t, err)
	text, err := e.Marshal(value)
	require.NoError(t, err)
	require.Equal(t, "9007199254740993", string(text))
}

func TestRunIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, says string }{
		"Forever":         {"[repeat(1)]", "took longer than 100ms"},
		"ForeverInside":   {"def f: f; f", "took longer than 100ms"},
		"Doubling":        {`reduce range(1000) as $i ("x"; . + .)`, "took longer than 100ms|needs more memory"},
		"ManyValues":      {"range(5000)", "more than 1000 values"},
		"DeepValue":       {"reduce range(10050) as $i (1; [.])", "nests deeper than 10000 levels|took longer than 100ms"}, // on a crowded machine
		"TwoValues":       {".user.email, .user.name", "gives 2 values"},
		"Fails":           {".user.email.domain", "fails on this change"},
		"FailsByItself":   {`error("no plan")`, "no plan"},
		"FailsWithObject": {`{} | error`, "fails on this change"},
		"LongError":       {`"x" * 5000 | error`, "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			_, _, err := compile(t, c.source).One(t.Context(), jq.Of(change()))
			require.ErrorAs(t, err, new(*jq.RunError))
			require.Regexp(t, c.says, err.Error())
			require.Less(t, len(err.Error()), 500)
			require.Less(t, time.Since(begun), 20*time.Second)
		})
	}
	t.Run("LargeValue", func(t *testing.T) {
		t.Parallel()
		e := compile(t, `"x" * 2000000`)
		value, _, err := e.One(t.Context(), jq.Of(nil))
		if err == nil {
			_, err = e.Marshal(value)
		}
		require.ErrorAs(t, err, new(*jq.RunError))
		require.Regexp(t, "at most 1048576|took longer than 100ms", err.Error()) // on a crowded machine
	})
	t.Run("Stopped", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := compile(t, "[repeat(1)]").One(ctx, jq.Of(nil))
		require.ErrorContains(t, err, "was stopped")
		require.ErrorAs(t, err, new(*jq.UnavailableError), "the expression is not to blame")
	})
}

func TestFields(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]struct {
		keys  []string
		whole bool
	}{
		`$secrets.token`:                            {[]string{"token"}, false},
		`"Bearer \($secrets.token)"`:                {[]string{"token"}, false},
		`{a: $secrets.a, b: [$secrets["b"]]}`:       {[]string{"a", "b"}, false},
		`$secrets`:                                  {nil, true},
		`$secrets[.user.id]`:                        {nil, true},
		`$secrets | keys`:                           {nil, true},
		`$secrets as $s | $s.token`:                 {nil, true},
		`{$secrets}`:                                {nil, true},
		`.secrets.token, "$secrets.token"`:          {nil, false},
		`[$secrets.a.b, $secrets.a]`:                {[]string{"a", "a"}, false},
		`. as {a: $x} ?// [$x] | $secrets["\($x)"]`: {nil, true},
	} {
		keys, whole := compile(t, source, "$secrets").Fields("$secrets")
		require.Equal(t, want.keys, keys, source)
		require.Equal(t, want.whole, whole, source)
	}
}

func FuzzExpression(f *testing.F) {
	for _, source := range []string{
		".user.email", "{email: if_changed(.email)}", `"\(.user.id|@uri)"`, "[.user[]?]", "$secrets.token", `.a as [$x, {b: $y}] | $x + $y`,
		"reduce .user[] as $x (0; . + 1)", "try error catch .", "def f(g): g | g; f(.user)", `.user | to_entries | map(select(.value != null)) | from_entries`,
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		hung := time.AfterFunc(time.Minute, func() { panic("does not end: " + strconv.Quote(source)) })
		defer hung.Stop()
		e, err := jq.Compile("condition", source, "$secrets")
		if err != nil {
			require.True(t, fault.Is(err, fault.Invalid))
			return
		}
		all, err := e.All(t.Context(), jq.Of(change()), map[string]any{"token": "secret"})
		if err != nil {
			require.ErrorAs(t, err, new(*jq.RunError))
			return
		}
		require.LessOrEqual(t, len(all), jq.MaxOutputs)
		for _, value := range all {
			if text, err := e.Marshal(value); err == nil {
				require.True(t, json.Valid(text), "%s", text)
			}
		}
	})
}
