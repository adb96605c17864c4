package payload_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/payload"
)

func parse(t *testing.T, doc string) payload.Value {
	t.Helper()
	v, err := payload.Parse([]byte(doc))
	require.NoError(t, err)
	return v
}

func TestMembers(t *testing.T) {
	t.Parallel()
	v := parse(t, " {\"a\" : 1 ,\n\"b\\u0063\":\"}\\\"{\", \"d\":{\"e\":[1,{\"f\":\"]\"}]} ,\"a\":null,\"\":-2.5e3\t} ")
	var got []string
	for key, value := range v.Members() {
		got = append(got, string(key)+"="+string(value))
	}
	require.Equal(t, []string{`a=1`, `bc="}\"{"`, `d={"e":[1,{"f":"]"}]}`, `a=null`, `=-2.5e3`}, got)
	require.True(t, v.Member("a").IsNull(), "the last of two keys wins")
	require.True(t, v.Member("A").IsAbsent(), "keys are told apart by case")
	for range v.Members() {
		break // a walk can be left
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	var got []string
	for value := range parse(t, `[ 1, "a,b" ,[],{ },true ]`).Elements() {
		got = append(got, string(value))
	}
	require.Equal(t, []string{`1`, `"a,b"`, `[]`, `{ }`, `true`}, got)
	for range parse(t, `[]`).Elements() {
		require.Fail(t, "an empty array has no element")
	}
	for range parse(t, "{\n}").Members() {
		require.Fail(t, "an empty object has no member")
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"{}": "an object", "[]": "an array", `""`: "a text", "-1": "a number", "0": "a number",
		"true": "true or false", "false": "true or false", "null": "null",
	} {
		require.Equal(t, want, parse(t, doc).Kind())
	}
	require.Equal(t, "missing", payload.Value(nil).Kind())
}

func TestLongStringOfEscapesTakesLinearTime(t *testing.T) {
	t.Parallel()
	// Quadratic time would be minutes here.
	v := parse(t, `{"a":"`+strings.Repeat(`\n`, 2_000_000)+`","b":1}`)
	require.Equal(t, "1", string(v.Member("b")))
}

func TestText(t *testing.T) {
	t.Parallel()
	for doc, c := range map[string]struct {
		want  string
		flaws int
	}{
		`"plain"`:                  {"plain", 0},
		`"\"\\\/\b\f\n\r\t"`:       {"\"\\/\b\f\n\r\t", 0},
		`"\u00e9\u20AC"`:           {"é€", 0},
		`"\ud83d\ude00"`:           {"😀", 0},
		`"nul \u0000"`:             {"nul \ufffd", 1},
		`"\ud83d"`:                 {"\ufffd", 1},
		`"\ud83d\u0041"`:           {"\ufffdA", 1},
		`"\ud83d\ud83d\ude00"`:     {"\ufffd😀", 1},
		`"\ude00\ud83d"`:           {"\ufffd\ufffd", 2},
		`"\ud83d\n"`:               {"\ufffd\n", 1},
		"\"\xff\xc3\x28\"":         {"\ufffd\ufffd(", 2},
		`"` + "\ufffd" + `\ufffd"`: {"\ufffd\ufffd", 0},
		`"\\u0000"`:                {`\u0000`, 0},
	} {
		got, flaws := parse(t, doc).Text()
		require.Equal(t, c.want, got, doc)
		require.Equal(t, c.flaws, flaws, doc)
	}
}

func FuzzWalk(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c\u0000\ud800"}],"a":-1e5,"\u0062":null}`))
	f.Add([]byte("[[],\"\xff\", {\"\":true}]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := payload.Parse(doc)
		require.Equal(t, json.Valid(doc), err == nil)
		if err != nil {
			return
		}
		var want any
		decoder := json.NewDecoder(bytes.NewReader(doc))
		decoder.UseNumber() // numbers beyond float64 are fine
		require.NoError(t, decoder.Decode(&want))
		requireSame(t, want, v)
	})
}

// requireSame compares with what encoding/json makes of the document.
func requireSame(t *testing.T, want any, v payload.Value) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		require.True(t, v.IsObject())
		last := make(map[string]payload.Value)
		for key, value := range v.Members() {
			text, _ := parse(t, quoted(key)).Text()
			last[text] = value
		}
		if strings.ContainsRune(string(v), utf8.RuneError) || strings.Contains(string(v), `\u`) {
			return // keys may be one to us and two to encoding/json, which keeps U+0000
		}
		require.Len(t, last, len(want))
		for key, value := range want {
			requireSame(t, value, last[key])
		}
	case []any:
		require.True(t, v.IsArray())
		i := 0
		for value := range v.Elements() {
			requireSame(t, want[i], value)
			i++
		}
		require.Len(t, want, i)
	case json.Number:
		require.Equal(t, want.String(), string(v))
	case string:
		text, _ := v.Text()
		require.Equal(t, strings.ReplaceAll(want, "\x00", "\ufffd"), text)
	default:
		require.True(t, v.IsNull() || v.IsNumber() || string(v) == "true" || string(v) == "false")
	}
}

func quoted(key []byte) string {
	b, err := json.Marshal(string(key))
	if err != nil {
		return `""`
	}
	return string(b)
}
