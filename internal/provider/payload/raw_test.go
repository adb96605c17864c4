package payload_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/payload"
)

func TestStorableKeepsTheBytes(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`{}`,
		`{ "b" : 1.50, "a":"\u00e9 \ud83d\ude00 \\u0000 \\ud800", "a":2 }`,
		`{"e":[1e1000,1e-1000,-0.0,1E+05,` + strings.Repeat("9", 1000) + `]}`,
		`{"deep":` + strings.Repeat("[", 499) + strings.Repeat("]", 499) + `}`,
		`{"wide":[` + strings.Repeat("{},[],", 2000) + `0]}`,
		"{\"k\":\"\ufffd \u007f \u2028\"}",
	} {
		raw, note := payload.Storable(parse(t, doc))
		require.Equal(t, doc, string(raw))
		require.Empty(t, note)
	}
}

func TestStorableReplaces(t *testing.T) {
	t.Parallel()
	const deep = `"(nested deeper than 500 levels)"`
	longNumber := strings.Repeat("1", 1001)
	for name, c := range map[string]struct{ doc, want, note string }{
		"NUL":              {`{"a":"x\u0000y"}`, `{"a":"x` + "\ufffd" + `y"}`, "1 character"},
		"NULInKey":         {`{"\u0000":1}`, `{"` + "\ufffd" + `":1}`, "1 character"},
		"NULBehindEscape":  {`{"a":"\\\u0000\\u0000"}`, `{"a":"\\` + "\ufffd" + `\\u0000"}`, "1 character"},
		"HalfPairs":        {`{"a":"\ud800\ud800\udc00\udfff"}`, `{"a":"` + "\ufffd" + `\ud800\udc00` + "\ufffd" + `"}`, "2 characters"},
		"NotUTF8":          {"{\"a\":\"\xffé\xc0\\n\"}", "{\"a\":\"\ufffdé\ufffd\\n\"}", "2 characters"},
		"SurrogateInBytes": {"{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\ufffd\ufffd\ufffd\"}", "3 characters"},
		"HugeExponent":     {`{"a":1e1001,"b":[-2E+99999999999999999999]}`, `{"a":"1e1001","b":["-2E+99999999999999999999"]}`, "2 numbers out of range"},
		"TinyExponent":     {`{"a":1e-1001}`, `{"a":"1e-1001"}`, "1 number out of range"},
		"ManyDigits":       {`{"a":` + longNumber + `}`, `{"a":"` + longNumber + `"}`, "1 number out of range"},
		"Deep": {
			`{"a":` + strings.Repeat("[", 500) + `"x"` + strings.Repeat("]", 500) + `,"b":1}`,
			`{"a":` + strings.Repeat("[", 499) + deep + strings.Repeat("]", 499) + `,"b":1}`, "1 part nested deeper than 500 levels",
		},
		"DeepTwice": {
			`{"a":` + strings.Repeat("[", 499) + `{"\u0000":{}},[[]]` + strings.Repeat("]", 499) + `}`,
			`{"a":` + strings.Repeat("[", 499) + deep + `,` + deep + strings.Repeat("]", 499) + `}`, "2 parts nested deeper than 500 levels",
		},
		"Everything": {
			`{"a":"\u0000","b":1e9999,"c":"\udc00"}`,
			`{"a":"` + "\ufffd" + `","b":"1e9999","c":"` + "\ufffd" + `"}`, "2 characters, 1 number out of range",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, note := payload.Storable(parse(t, c.doc))
			require.Equal(t, c.want, string(raw))
			require.Equal(t, "raw: replaced what PostgreSQL cannot hold: "+c.note, note)
			require.True(t, json.Valid(raw))
		})
	}
}
