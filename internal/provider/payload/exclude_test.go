package payload_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

func exclusion(entries ...string) payload.Exclusion {
	return payload.NewExclusion(provider.Options{Exclude: entries})
}

func TestExcludedMembersAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entries   []string
		doc, want string
		removed   []string
	}{
		"First":            {[]string{"a"}, `{ "a" : 1.50 , "b":2}`, `{ "b":2}`, []string{"a"}},
		"Middle":           {[]string{"b"}, `{"a":1e400, "b" : {"a":[1,{}]} ,"c":3}`, `{"a":1e400 ,"c":3}`, []string{"b"}},
		"Last":             {[]string{"b"}, "{\"a\":1,\n\"b\":2\n}", "{\"a\":1\n}", []string{"b"}},
		"Only":             {[]string{"a"}, `{"a":1}`, `{}`, []string{"a"}},
		"All":              {[]string{"a", "b"}, `{"a":1,"b":2,"a":3}`, `{}`, []string{"a", "b"}},
		"Repeated":         {[]string{"a"}, `{"b":0,"a":1,"a":2,"c":3,"a":4}`, `{"b":0,"c":3}`, []string{"a"}},
		"AtAnyDepth":       {[]string{"ssn"}, `[{"x":[{"ssn":"1","y":{"ssn":"2"}}]}]`, `[{"x":[{"y":{}}]}]`, []string{"ssn"}},
		"APathOnlyThere":   {[]string{"m.ssn"}, `{"ssn":1,"m":{"ssn":2,"n":{"ssn":3}},"o":{"m":[[{"ssn":4,"k":5}]]}}`, `{"ssn":1,"m":{"n":{"ssn":3}},"o":{"m":[[{"k":5}]]}}`, []string{"m.ssn"}},
		"ALongPath":        {[]string{"a.b.c"}, `{"a":{"b":{"c":1},"c":2},"b":{"c":3}}`, `{"a":{"b":{},"c":2},"b":{"c":3}}`, []string{"a.b.c"}},
		"ADotInAKey":       {[]string{`https://e\.com/x`, `a\\b`}, `{"https://e.com/x":1,"a\\b":2,"https://e":{"com/x":3}}`, `{"https://e":{"com/x":3}}`, []string{`a\\b`, `https://e\.com/x`}},
		"AnEscapedKey":     {[]string{"ssn"}, `{"s\u0073n":1,"b":2}`, `{"b":2}`, []string{"ssn"}},
		"AValueIsNoKey":    {[]string{"ssn"}, `{"a":"ssn","b":["ssn"],"c":"\"ssn\":1"}`, `{"a":"ssn","b":["ssn"],"c":"\"ssn\":1"}`, nil},
		"AnotherCase":      {[]string{"ssn"}, `{"SSN":1}`, `{"SSN":1}`, nil},
		"WithAMark":        {[]string{"a"}, "\ufeff{\"a\":1}", "\ufeff{}", []string{"a"}},
		"Lines":            {[]string{"m.a"}, "{\"m\":{\"a\":1}}\n{\"a\":2}\r\n\n{\"m\":{\"a\":3},\"b\":4}", "{\"m\":{}}\n{\"a\":2}\r\n\n{\"m\":{},\"b\":4}", []string{"m.a"}},
		"ATruncatedLine":   {[]string{"m.a"}, "{\"m\":{\"a\":1}}\n{\"a\":[2,\n{\"b\":4}\n", "{\"m\":{}}\n{\"a\":null{\"b\":4}\n", []string{"m.a"}},
		"Truncated":        {[]string{"m.a", "b"}, `{"m":{"a":{"x":"y`, `{"m":{"a":null`, []string{"m.a"}},
		"NotJSON":          {[]string{"a"}, `so "a": he said, "b`, `so "a": null said, "b`, []string{"a"}},
		"NothingToExclude": {nil, `{"a":1}`, `{"a":1}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, removed := exclusion(tc.entries...).Remove([]byte(tc.doc))
			require.Equal(t, tc.want, string(got))
			require.Equal(t, tc.removed, removed)
		})
	}
}

// However deep or wide a document is, removing takes one pass over it: each of these would take minutes if an array or an
// object were walked once for each member.
func TestExclusionTakesLinearTime(t *testing.T) {
	t.Parallel()
	const n = 200_000
	x := exclusion("a.k", "a.b.c.d.e.f.g.k", "k.k")
	for name, doc := range map[string]string{
		"Wide":         `{"a":{` + strings.Repeat(`"k":1,`, n) + `"z":1}}`,
		"DeepAndWide":  `{"a":` + strings.Repeat("[", 9000) + `{` + strings.Repeat(`"k":1,`, n) + `"z":1}` + strings.Repeat("]", 9000) + `}`,
		"Deep":         strings.Repeat(`{"k":`, 9000) + `1` + strings.Repeat(`}`, 9000),
		"DeeperThanIs": strings.Repeat(`{"k":`, n),
		"NoEnd":        strings.Repeat(`"k":"`, n),
		"Escapes":      `{"a":{` + strings.Repeat(`"\u006b":1,`, n) + `"z":1}}`,
	} {
		got, removed := x.Remove([]byte(doc))
		require.NotEmpty(t, removed, name)
		require.NotContains(t, string(got), `"k":1`, name)
	}
}

// without is what encoding/json says of it.
func without(v any, under []string, entries ...string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			at := append(append([]string{}, under...), key)
			gone := false
			for _, entry := range entries {
				gone = gone || strings.HasSuffix("."+strings.Join(at, "."), "."+entry)
			}
			if !gone {
				out[key] = without(value, at, entries...)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = without(v[i], under, entries...)
		}
		return out
	}
	return v
}

// TestExclusionAgreesWithAModel: what is left means what is left of the decoded document.
func TestExclusionAgreesWithAModel(t *testing.T) {
	t.Parallel()
	keys := []string{"a", "b", "c"}
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.Custom(func(rt *rapid.T) any {
			return rapid.SampledFrom([]any{nil, true, 1.5, "a", `"a":1,{}`, "\n\\"}).Draw(rt, "leaf")
		})
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Custom(func(rt *rapid.T) any { return rapid.SliceOfN(value(depth-1), 0, 3).Draw(rt, "array") }),
			rapid.Custom(func(rt *rapid.T) any {
				return rapid.MapOfN(rapid.SampledFrom(keys), value(depth-1), 0, 3).Draw(rt, "object")
			}))
	}
	rapid.Check(t, func(rt *rapid.T) {
		doc, err := json.MarshalIndent(value(4).Draw(rt, "document"), rapid.SampledFrom([]string{"", " "}).Draw(rt, "prefix"), "\t")
		require.NoError(rt, err)
		entries := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b.c", "c.b.a", "b.b", "a.c"}), 1, 3, rapid.ID[string]).Draw(rt, "entries")
		got, _ := exclusion(entries...).Remove(doc)
		var before, after any
		require.NoError(rt, json.Unmarshal(doc, &before))
		require.NoError(rt, json.Unmarshal(got, &after), "%s became %s", doc, got)
		require.Equal(rt, without(before, nil, entries...), after)
	})
}

// FuzzExclude: any bytes are read to their end, valid JSON stays valid, and what was removed once is not found again.
func FuzzExclude(f *testing.F) {
	for _, doc := range []string{
		`{"a":1,"b":[{"a":{"b":2}}]}`, `{"a":{"b`, "{\"a\":1}\n{\"b\":{\"a\"", `{"a\u0062":1,"ab":2}`, `"\`, "\ufeff", "\ufeff{\"a\":1}\n\ufeff",
	} {
		f.Add([]byte(doc))
	}
	x := exclusion("a", "b.c", "ab")
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		got, removed := x.Remove(doc)
		require.Equal(t, before, doc, "the document itself is not written to")
		if len(removed) == 0 {
			require.Equal(t, string(doc), string(got))
		}
		again, removed := x.Remove(got)
		if json.Valid(doc) {
			require.True(t, json.Valid(got), "%s became %s", doc, got)
			require.Empty(t, removed)
		}
		require.Equal(t, string(got), string(again))
	})
}

func BenchmarkExclude(b *testing.B) {
	doc := []byte(`{"type":"user.updated","data":{"object":{"user_id":"auth0|1","email":"a@example.com","last_ip":"192.0.2.1","identities":[{"connection":"db","user_id":"1"}],` +
		`"name":"Ada Lovelace","app_metadata":{"plan":"pro","roles":["a","b"]},"created_at":"2026-01-01T00:00:00Z"}}}`)
	x := exclusion("private_metadata", "last_ip", "app_metadata.plan")
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		x.Remove(doc)
	}
}
