package auth0_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func decode(t *testing.T, body string) []provider.Event {
	t.Helper()
	events := auth0.New().Decode(provider.Message{ReceivedAt: providertest.ReceivedAt(), Body: []byte(body)}, provider.Options{})
	providertest.RequireValid(t, events)
	return events
}

func TestArrayOfManyEvents(t *testing.T) {
	t.Parallel()
	array := func(n int) string {
		element := `{"type":"user.updated","user":{"user_id":"u"}}`
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	events := decode(t, array(10_000))
	require.Len(t, events, 10_000)
	ids := make(map[string]bool)
	for _, e := range events {
		require.Equal(t, provider.Apply, e.Verdict)
		ids[e.ID] = true
	}
	require.Len(t, ids, 10_000, "each has an id of its own")

	events = decode(t, array(10_001))
	require.Len(t, events, 1)
	require.Equal(t, provider.Fail, events[0].Verdict)
	require.Contains(t, events[0].Reason, "more than 10000 events")
}

func TestIdentityIsNeverAltered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ id, userID, want string }{
		"UserIDWithNUL":           {`"e"`, `"a\u0000b"`, "data.object.user_id holds a character"},
		"UserIDWithHalfSurrogate": {`"e"`, `"\ud800"`, "data.object.user_id holds a character"},
		"UserIDNotUTF8":           {`"e"`, "\"\xff\"", "data.object.user_id holds a character"},
		"UserIDEmpty":             {`"e"`, `""`, "data.object.user_id is empty"},
		"UserIDNull":              {`"e"`, `null`, "data.object.user_id is null"},
		"UserIDTooLong":           {`"e"`, `"` + strings.Repeat("u", 1025) + `"`, "data.object.user_id is 1025 bytes long"},
		"EventIDWithNUL":          {`"\u0000"`, `"u"`, "id holds a character"},
		"EventIDEmpty":            {`""`, `"u"`, "id is empty"},
		"EventIDIsANumber":        {`7`, `"u"`, "id is a number"},
		"EventIDTooLong":          {`"` + strings.Repeat("e", 513) + `"`, `"u"`, "id is 513 bytes long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := decode(t, fmt.Sprintf(`{"type":"user.updated","id":%s,"data":{"object":{"user_id":%s}}}`, c.id, c.userID))
			require.Equal(t, provider.Fail, events[0].Verdict)
			require.Contains(t, events[0].Reason, c.want)
		})
	}
	longest := decode(t, fmt.Sprintf(`{"type":"user.updated","id":"%s","data":{"object":{"user_id":"%s"}}}`,
		strings.Repeat("e", 512), strings.Repeat("é", 512)))
	require.Equal(t, provider.Apply, longest[0].Verdict)
	escaped := decode(t, `{"type":"user.updated","id":"\u0065\/1","data":{"object":{"user_id":"auth0\u007c\ud83d\ude00"}}}`)
	require.Equal(t, "e/1", escaped[0].ID)
	require.Equal(t, "auth0|😀", escaped[0].UserID)
}

func TestRawIsTheBytesOfTheBody(t *testing.T) {
	t.Parallel()
	object := `{ "user_id":"u",  "b":1.0, "a":{"z":1e2,"e":"\u00e9\/"} }`
	events := decode(t, ` {"type":"user.updated","data":{"object": `+object+` }} `)
	require.Equal(t, object, string(events[0].Raw))
}

func FuzzDecode(f *testing.F) {
	lines := strings.Join(entries(f), "\n")
	f.Add([]byte(lines), "", false)
	f.Add([]byte(strings.ReplaceAll(lines[:len(lines)-9], "\n", "\r\n\r\n")), "", true)
	f.Add([]byte(`{"logs":[`+strings.ReplaceAll(lines, "\n", ",")+`]}`), "", false)
	providertest.FuzzDecode(f, auth0.New())
}

func BenchmarkDecode(b *testing.B) {
	providertest.BenchmarkDecode(b, auth0.New(), provider.Credentials{WebhookSigningSecret: provider.Secrets{"s3cret"}})
}

func BenchmarkVerify(b *testing.B) {
	providertest.BenchmarkVerify(b, auth0.New(), provider.Credentials{WebhookSigningSecret: provider.Secrets{"s3cret"}})
}
