package destination_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

func TestMessageID(t *testing.T) {
	t.Parallel()
	id := destination.MessageID(destinationtest.DestinationID(), 42)
	require.Equal(t, "msg_3f2b8c1d5e6f4a7b8c9d0e1f2a3b4c5d_42", id)
	require.NotContains(t, id, ".")
}

// What happens to a message whose request could not be made depends on whose fault that is.
func TestUnmade(t *testing.T) {
	t.Parallel()
	unavailable := destination.ExpressionError(&jq.UnavailableError{Err: errors.New("no processes")}, "payload: no processes")
	for name, c := range map[string]struct {
		err  error
		want destination.Outcome
	}{
		"NoWorkerCouldBeHad":        {unavailable, destination.Deferred},
		"NoWorkerWithinABatch":      {fmt.Errorf("row 3: %w", unavailable), destination.Deferred},
		"TheExpressionFails":        {destination.ExpressionError(&jq.RunError{Detail: "payload fails"}, "payload fails"), destination.GiveUp},
		"TheExpressionCostsTooMuch": {destination.ExpressionError(&jq.RunError{Detail: "payload", Halt: true}, "payload"), destination.Pause},
		"TheMessageIsOdd":           {errors.New("the user is no object"), destination.GiveUp},
	} {
		result := destination.Unmade(c.err, "why")
		require.Equal(t, c.want, result.Outcome, name)
		require.Contains(t, result.Reason, "why", name)
		require.Zero(t, result.Status, name)
		require.Equal(t, c.want == destination.Deferred, result.After > 0, name)
	}
}

func TestInput(t *testing.T) {
	t.Parallel()
	input, err := destination.Input(destinationtest.Created())
	require.NoError(t, err)
	require.Nil(t, input["before"])
	text, err := json.Marshal(input)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"id": "msg_3f2b8c1d5e6f4a7b8c9d0e1f2a3b4c5d_1", "type": "user.created", "change_id": 1, "record_type": "user", "record_id": "user_2xKq9",
		"changed": ["id", "email", "first_name", "last_name", "image_url", "created_at", "updated_at", "raw"],
		"user": `+string(destinationtest.User(nil).JSON())+`, "before": null,
		"project_id": "7e0c2b52-4a44-4f0b-9a8e-0d6f5b1c2a10", "provider": "auth0", "event_id": "evt_1",
		"event_at": "2026-05-04T10:20:30Z", "changed_at": "2026-05-04T10:20:31Z", "test": false
	}`, string(text))

	_, err = destination.Input(destination.Message{ID: "msg_x_1", RecordType: record.User, Row: json.RawMessage(`{"id":`)})
	require.ErrorContains(t, err, "read the user of msg_x_1")
	_, err = destination.Input(destination.Message{ID: "msg_x_1", Before: json.RawMessage(`}`)})
	require.ErrorContains(t, err, "as it was")
}

func TestDropEmpty(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{"a": null, "b": "", "c": 0, "d": false, "e": " "}`: `{"c": 0, "d": false, "e": " "}`,
		`{"a": {"b": {"c": null}}, "d": 1}`:                  `{"d": 1}`,
		`{"a": {}, "b": []}`:                                 `{"a": {}, "b": []}`,
		`{"a": [null, "", {"b": "", "c": 1}]}`:               `{"a": [null, "", {"c": 1}]}`,
		`[{"a": null}, 2]`:                                   `[{}, 2]`,
		`7`:                                                  `7`,
	} {
		var value any
		require.NoError(t, json.Unmarshal([]byte(given), &value))
		rest, ok := destination.DropEmpty(value)
		require.True(t, ok)
		text, err := json.Marshal(rest)
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
		unchanged, err := json.Marshal(value)
		require.NoError(t, err)
		require.JSONEq(t, given, string(unchanged), "the value itself stays")
	}
	for _, nothing := range []any{nil, "", map[string]any{"a": nil}, map[string]any{"a": map[string]any{"b": ""}}} {
		_, ok := destination.DropEmpty(nothing)
		require.False(t, ok)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	apply := func(o destination.LimitOption, project, id uuid.UUID) destination.Capabilities {
		t.Helper()
		var capabilities destination.Capabilities
		require.NoError(t, o.Apply(&capabilities, destination.Config{ProjectID: project, ID: id}, "requests"))
		return capabilities
	}
	shop, other, one, two := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	own := destination.LimitOption{Requests: 10, Per: "10s", Daily: 500, Zone: "Europe/Berlin"}
	capabilities := apply(own, shop, one)
	require.Equal(t, map[string]destination.Limit{"requests": {Requests: 10, Per: 10 * time.Second, Daily: 500, Zone: "Europe/Berlin"}}, capabilities.Limits)
	require.Equal(t, capabilities, apply(own, shop, one))
	require.NotEqual(t, capabilities.Account, apply(own, shop, two).Account, "each destination has a limit of its own")

	shared := destination.LimitOption{Daily: 5, Account: "crm"}
	require.Equal(t, apply(shared, shop, one).Account, apply(shared, shop, two).Account)
	require.NotEqual(t, apply(shared, shop, one).Account, apply(shared, other, two).Account, "no project uses up another one's limit")

	for says, o := range map[string]destination.LimitOption{
		"negative":           {Requests: -1, Per: "1s"},
		"limits nothing":     {},
		"not how many":       {Per: "1s", Daily: 5},
		`per is "1 second"`:  {Requests: 1, Per: "1 second"},
		`per is "2h"`:        {Requests: 1, Per: "2h"},
		`per is "-1s"`:       {Requests: 1, Per: "-1s"},
		"zone is \"Local\"":  {Daily: 1, Zone: "Local"},
		"zone is \"CEST+2\"": {Daily: 1, Zone: "CEST+2"},
	} {
		err := o.Apply(new(destination.Capabilities), destination.Config{}, "requests")
		require.True(t, fault.Is(err, fault.Invalid))
		require.ErrorContains(t, err, says)
	}
}

func TestDecodeOptions(t *testing.T) {
	t.Parallel()
	type options struct {
		URL  string            `json:"url"`
		Tags []string          `json:"tags,omitempty"`
		More map[string]string `json:"more,omitempty"`
		N    int               `json:"n"`
		On   bool              `json:"on"`
	}
	for given, says := range map[string]string{
		`{"uri": "x"}`:   `no field "uri"; there is url, tags, more, n, on`,
		`{"url": 7}`:     "options.url is a JSON number: it takes a text",
		`{"tags": "a"}`:  "options.tags is a JSON string: it takes a list",
		`{"more": [1]}`:  "options.more is a JSON array: it takes an object",
		`{"n": 1.5}`:     "it takes a whole number",
		`{"on": "yes"}`:  "it takes true or false",
		`{"url": "x"} 1`: "more than one",
		`{"url": `:       "that can be read",
		`[]`:             "no JSON object",
	} {
		err := destination.DecodeOptions(json.RawMessage(given), new(options))
		require.True(t, fault.Is(err, fault.Invalid))
		require.ErrorContains(t, err, says, given)
	}
	require.NoError(t, destination.DecodeOptions(nil, new(options)))
}

func lowerEscapes(text string) string {
	return regexp.MustCompile("%[0-9A-F]{2}").ReplaceAllStringFunc(text, strings.ToLower)
}

// However an answer quotes a secret, and wherever it is cut: neither the secret shows nor much of it.
func TestMaskHidesSecrets(t *testing.T) {
	t.Parallel()
	letters := rapid.StringOfN(rapid.SampledFrom([]rune("abcXYZ019+/=&%<> \"\\é_")), 12, 60, -1)
	rapid.Check(t, func(rt *rapid.T) {
		secret := letters.Draw(rt, "secret")
		quoted, err := json.Marshal(secret)
		require.NoError(rt, err)
		form := rapid.SampledFrom([]string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), string(quoted[1 : len(quoted)-1]),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
			// As our own bodies have it, as PHP writes JSON, as pages of errors quote a request.
			strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret),
			strings.NewReplacer(`\`, `\\`, `"`, `\"`, "/", `\/`).Replace(secret),
			html.EscapeString(secret), strings.ReplaceAll(html.EscapeString(secret), "&#34;", "&quot;"),
			lowerEscapes(url.QueryEscape(secret)),
			strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"), // as the URLs of our templates have it
		}).Draw(rt, "form")
		m := destination.NewMask(secret, "another secret")
		filler := rapid.SampledFrom([]string{".", "é", "\xff", "\x00", "another secret"}).Draw(rt, "filler")
		before := rapid.IntRange(0, 2*destination.MaxResponse/len(filler)).Draw(rt, "before")
		answer := strings.Repeat(filler, before) + form + strings.Repeat("~", rapid.IntRange(0, 3*destination.MaxResponse).Draw(rt, "after"))

		kept := m.Response([]byte(answer[:min(len(answer), m.ReadAhead())]))
		require.LessOrEqual(rt, len(kept), destination.MaxResponse)
		require.True(rt, utf8.ValidString(kept))
		require.NotContains(rt, kept, "\x00")
		require.NotContains(rt, kept, form[:len(form)/2])
		require.NotContains(rt, m.Hide(answer), form)
	})
	require.Equal(t, "as it is", destination.NewMask("", "is").Hide("as it is"), "what is short is in every sentence")
	require.Equal(t, "as it is", destination.Mask{}.Response([]byte("as it is")))
}

// What is hidden gets shorter, and so brings what was read beyond the bound into view: no part of a secret may come with it.
func TestMaskHidesPartsAtTheEnd(t *testing.T) {
	t.Parallel()
	const secret = "tok_9wJ2kQ7rVxLmZp"
	m := destination.NewMask(secret)
	for before := range 2 * len(secret) {
		answer := strings.Repeat(".", before) + strings.Repeat(secret, 2*destination.MaxResponse/len(secret))
		kept := m.Response([]byte(answer[:m.ReadAhead()]))
		require.Greater(t, len(kept), 100)
		require.Empty(t, strings.Trim(kept, ".*"))
	}
}
