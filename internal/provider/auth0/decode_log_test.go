package auth0_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// entries are those of the fixture, one compact line each.
func entries(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile("testdata/log_entries.json")
	require.NoError(tb, err)
	var all []json.RawMessage
	require.NoError(tb, json.Unmarshal(text, &all))
	lines := make([]string, len(all))
	for i, entry := range all {
		var line bytes.Buffer
		require.NoError(tb, json.Compact(&line, entry))
		lines[i] = line.String()
	}
	return lines
}

func validBody(t *testing.T, body string) error {
	t.Helper()
	v, err := auth0.New().NewVerifier(provider.Credentials{}, provider.Options{})
	require.NoError(t, err)
	return v.ValidBody([]byte(body))
}

// withoutDigests makes events of different bodies comparable.
func withoutDigests(events []provider.Event) []provider.Event {
	for i := range events {
		if events[i].IDIsDigest {
			events[i].ID = "the digest of the body"
		}
	}
	return events
}

func TestFormatsOfALogStreamGiveTheSameEvents(t *testing.T) {
	t.Parallel()
	lines := entries(t)
	want := withoutDigests(decode(t, "["+strings.Join(lines, ",")+"]"))
	require.Len(t, want, len(lines))
	for name, body := range map[string]string{
		"Object":          `{"logs":[` + strings.Join(lines, ",") + `]}`,
		"ObjectAndMore":   `{"next":"later","logs":[` + strings.Join(lines, ",") + `]}`,
		"Lines":           strings.Join(lines, "\n"),
		"TrailingNewline": strings.Join(lines, "\n") + "\n",
		"CRLF":            strings.Join(lines, "\r\n") + "\r\n",
		"BlankLines":      "\n  \n" + strings.Join(lines, "\n\r\n\t\n") + "\n\n",
		"SpaceAround":     " " + strings.Join(lines, " \n ") + " ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, validBody(t, body))
			require.Equal(t, want, withoutDigests(decode(t, body)))
		})
	}
}

func TestOneLineIsAnEvent(t *testing.T) {
	t.Parallel()
	line := entries(t)[0]
	want := decode(t, line)
	require.Len(t, want, 1)
	require.Equal(t, provider.Refresh, want[0].Verdict)
	for _, body := range []string{line + "\n", "\r\n" + line + "\r\n\r\n", "[" + line + "]", `{"logs":[` + line + `]}`} {
		require.NoError(t, validBody(t, body))
		require.Equal(t, want, decode(t, body))
	}
}

func TestLinesMayBeEventsOfAnEventStream(t *testing.T) {
	t.Parallel()
	events := decode(t, `{"type":"user.updated","id":"e1","user":{"user_id":"u"}}`+"\n"+entries(t)[0]+"\n"+`{"type":"other"}`)
	require.Len(t, events, 3)
	require.Equal(t, []provider.Verdict{provider.Apply, provider.Refresh, provider.Ignore},
		[]provider.Verdict{events[0].Verdict, events[1].Verdict, events[2].Verdict})
}

func TestBrokenLineIsNamedAndTheOthersAreTaken(t *testing.T) {
	t.Parallel()
	const fail, refresh = provider.Fail, provider.Refresh
	good := entries(t)[0]
	for name, c := range map[string]struct {
		lines    []string
		want     string
		broken   int // which event says so
		verdicts []provider.Verdict
	}{
		"LastIsCutOff": {
			[]string{good, "", good, good[:40]}, "line 4 is not JSON: it goes wrong at byte 40 of 40", 2, []provider.Verdict{refresh, refresh, fail},
		},
		"LastIsText":     {[]string{good, "and so on"}, "line 2 is not JSON", 1, []provider.Verdict{refresh, fail}},
		"FirstIsCutOff":  {[]string{good[:40], good, good}, "line 1 is not JSON", 0, []provider.Verdict{fail, refresh, refresh}},
		"MiddleIsArray":  {[]string{good, "[]", good}, "line 2 is an array: each line must be a JSON object", 1, []provider.Verdict{refresh, fail, refresh}},
		"TwoOnOneLine":   {[]string{good, good + good}, "line 2 is not JSON", 1, []provider.Verdict{refresh, fail}},
		"NestedTooDeep":  {[]string{good, `{"a":` + strings.Repeat("[", 10_001)}, "line 2 nests deeper", 1, []provider.Verdict{refresh, fail}},
		"OnlyOneIsRight": {[]string{"{", good, "{"}, "line 1 is not JSON", 0, []provider.Verdict{fail, refresh, fail}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := strings.Join(c.lines, "\n")
			require.ErrorContains(t, validBody(t, body), c.want)
			var verdicts []provider.Verdict
			for i, e := range decode(t, body) {
				verdicts = append(verdicts, e.Verdict)
				require.Equal(t, i == c.broken, strings.Contains(e.Reason, c.want), e.Reason)
			}
			require.Equal(t, c.verdicts, verdicts)
		})
	}
}

// A document over several lines that breaks off is no list of lines.
func TestBrokenDocumentIsNotTakenForLines(t *testing.T) {
	t.Parallel()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(`{"logs":[`+entries(t)[0]+`,{"a":{}}]}`), "", "  "))
	for _, body := range []string{
		pretty.String()[:pretty.Len()-3], "[" + entries(t)[0] + "\n" + entries(t)[0], `{"a":1}]`, "7\n{}", "{\n", entries(t)[0] + "\f",
	} {
		require.ErrorContains(t, validBody(t, body), "the body is not JSON")
		events := decode(t, body)
		require.Len(t, events, 1)
		require.Equal(t, provider.Fail, events[0].Verdict)
	}
}

func TestBatchesOfEntriesMayBeLong(t *testing.T) {
	t.Parallel()
	many := func(n int) []string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf(`{"log_id":"%d","data":{"type":"s","user_id":"u"}}`, i)
		}
		return lines
	}
	events := decode(t, strings.Join(many(10_000), "\n"))
	require.Len(t, events, 10_000)
	require.Equal(t, provider.Refresh, events[9_999].Verdict)

	require.Len(t, decode(t, strings.Repeat(`{"log_id":null}`+"\n", 10_000)), 10_000)

	event := `{"type":"user.updated","user":{"user_id":"u"}}`
	require.Len(t, decode(t, strings.Repeat(event+"\n", 5_000)+strings.Join(many(5_000), "\n")), 10_000, "entries are among them")
}

func TestMoreEventsThanCanBeTakenAreRefusedBeforeTheyAreAcknowledged(t *testing.T) {
	t.Parallel()
	event := `{"type":"user.updated","user":{"user_id":"u"}}`
	entry := `{"log_id":"1","data":{"type":"s","user_id":"u"}}`
	many := func(n int, one, between string) string {
		return strings.TrimSuffix(strings.Repeat(one+between, n), between)
	}
	for name, body := range map[string]func(n int) string{
		"Array":   func(n int) string { return "[" + many(n, event, ",") + "]" },
		"Batch":   func(n int) string { return `{"logs":[` + many(n, entry, ",") + "]}" },
		"Lines":   func(n int) string { return many(n, entry, "\n") },
		"Numbers": func(n int) string { return "[" + many(n, "1", ",") + "]" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, validBody(t, body(10_000)))
			err := validBody(t, body(10_001))
			require.ErrorIs(t, err, provider.ErrTooManyEvents)
			require.ErrorContains(t, err, "10001")
		})
	}
}

func TestEmptyBatchIsIgnored(t *testing.T) {
	t.Parallel()
	events := decode(t, `{"logs":[]}`)
	require.Len(t, events, 1)
	require.Equal(t, provider.Ignore, events[0].Verdict)
	events = decode(t, `{"logs":{}}`)
	require.Equal(t, provider.Fail, events[0].Verdict)
	require.Equal(t, "type is missing", events[0].Reason)
}

// What an event stream sends stays what it is, though it holds keys of entries.
func TestEventWithATypeIsNoEntry(t *testing.T) {
	t.Parallel()
	events := decode(t, `{"type":"user.deleted","log_id":"1","logs":[],"data":{"date":"x","object":{"user_id":"u"}}}`)
	require.Len(t, events, 1)
	require.Equal(t, provider.Apply, events[0].Verdict)
	require.Equal(t, "u", events[0].UserID)
}

func TestSampleOfAnEntry(t *testing.T) {
	t.Parallel()
	credentials := provider.Credentials{WebhookSigningSecret: provider.Secrets{"s3cret"}}
	for typ, verdict := range map[string]provider.Verdict{
		"log.s": provider.Refresh, "log.ss": provider.Refresh, "log.sapi": provider.Refresh, "log.sce": provider.Refresh,
		"log.sdu": provider.Apply, "log.fs": provider.Ignore,
	} {
		at := providertest.ReceivedAt()
		sample := provider.Sample{Type: typ, ID: "90020", UserID: "auth0|1 2/3", At: at, Set: map[string]any{"ip": "192.0.2.1"}}
		_, body, err := auth0.New().Sign(sample, credentials, provider.Options{}, at)
		require.NoError(t, err)
		require.Contains(t, string(body), `"ip":"192.0.2.1"`)
		events := decode(t, string(body))
		require.Len(t, events, 1)
		require.Equal(t, verdict, events[0].Verdict, typ)
		require.Equal(t, "90020", events[0].ID)
		require.Equal(t, strings.TrimPrefix(typ, "log."), events[0].Type)
		require.Equal(t, at, events[0].SentAt)
		if verdict != provider.Ignore {
			require.Equal(t, "auth0|1 2/3", events[0].UserID)
		}
	}
}
