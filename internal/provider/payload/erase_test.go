package payload_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/payload"
)

func TestOnlyTheirEventsAreErased(t *testing.T) {
	t.Parallel()
	const gone = payload.Erased
	mentions := func(_ int, event []byte) bool {
		return payload.Mentions(event, "user_0123456789", true, []string{"ada@example.com"})
	}
	for name, tc := range map[string]struct{ body, want string }{
		"One":           {`{"type":"user.created","data":{"id":"user_0123456789"}}`, gone},
		"OneWithAMark":  {"\ufeff {\"id\":\"user_0123456789\"}\n", "\ufeff " + gone + "\n"},
		"Another":       {`{"type":"user.created","data":{"id":"user_1"}}`, `{"type":"user.created","data":{"id":"user_1"}}`},
		"Array":         {`[ {"a":"user_0123456789"} , {"a":1.50}, {"b":["ADA@example.com"]} ]`, `[ ` + gone + ` , {"a":1.50}, ` + gone + ` ]`},
		"EqualElements": {`[{"a":1},"x",{"a":1},{"a":"user_0123456789"}]`, `[{"a":1},"x",{"a":1},` + gone + `]`},
		"EmptyArray":    {`[]`, `[]`},
		"Logs":          {`{"n":[1],"logs":[1,{"a":"user_0123456789"}],"z":2}`, `{"n":[1],"logs":[1,` + gone + `],"z":2}`},
		"NoLogs":        {`{"type":"x","logs":[{"a":"user_0123456789"}]}`, gone},
		"Lines":         {"{\"a\":1}\n\n{\"a\":\"user_0123456789\"}\r\n{\"a\":3}", "{\"a\":1}\n\n" + gone + "\r\n{\"a\":3}"},
		"ACutLine":      {"{\"a\":1}\n{\"a\":\"user_0123456789", "{\"a\":1}\n" + gone},
		"Escaped":       {`{"id":"\u0075ser_0123456789"}`, gone},
		"InAPath":       {`{"path":"/users/user_0123456789?x"}`, gone},
		"NotJSON":       {`user_0123456789`, gone},
		"Empty":         {``, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, n := payload.Erase([]byte(tc.body), mentions)
			require.Equal(t, tc.want, string(got))
			again, m := payload.Erase(got, func(int, []byte) bool { return true })
			require.Equal(t, strings.Count(tc.want, gone), n)
			if n == 1 && tc.want == gone {
				require.Zero(t, m, "what is erased stays")
				require.Equal(t, string(got), string(again))
			}
		})
	}
}

// A short id may be anything: only the outcome of its event says whose it is.
func TestAShortIDIsNotSearchedFor(t *testing.T) {
	t.Parallel()
	require.False(t, payload.Mentions([]byte(`{"id":"7"}`), "7", false, nil))
	require.True(t, payload.Mentions([]byte(`{"path":"auth0%7C0123456789"}`), "auth0|0123456789", true, nil))
	require.True(t, payload.Mentions([]byte(`{"email":"a\u0064a@example.com"}`), "7", false, []string{"Ada@Example.com"}))
}

// FuzzErase: any bytes are read to their end, valid JSON stays valid, and places are those of events.
func FuzzErase(f *testing.F) {
	for _, doc := range []string{`[{"a":1},2]`, `{"logs":[1,2]}`, "{\"a\":1}\n{\"b\"", "\ufeff", "\ufeff{}\n{", `{"logs":`, ``, "\n", `[`} {
		f.Add([]byte(doc), 0)
	}
	f.Fuzz(func(t *testing.T, doc []byte, which int) {
		before := bytes.Clone(doc)
		next := 0
		got, n := payload.Erase(doc, func(place int, _ []byte) bool {
			require.GreaterOrEqual(t, place, next)
			next = place + 1
			return place == which
		})
		require.Equal(t, before, doc, "the document itself is not written to")
		require.LessOrEqual(t, n, 1)
		if json.Valid(doc) {
			require.True(t, json.Valid(got), "%s became %s", doc, got)
		}
	})
}
