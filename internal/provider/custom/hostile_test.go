package custom_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// mapping is a definition with an expression for the e-mail address.
func mapping(t *testing.T, email string) provider.Options {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"signature": map[string]any{"scheme": "svix"}, "types": map[string]string{"user.created": "user.created"},
		"records": map[string]any{"user": map[string]string{"object": ".data", "id": ".id", "email": email}},
	})
	require.NoError(t, err)
	return provider.Options{Definition: text}
}

func decode(t *testing.T, p *custom.Provider, o provider.Options, body string) []provider.Event {
	t.Helper()
	events, err := p.DecodeContext(t.Context(), provider.Message{MessageID: "msg_1", ReceivedAt: providertest.ReceivedAt(), Body: []byte(body)}, o)
	require.NoError(t, err)
	providertest.RequireValid(t, events)
	return events
}

// Whatever an expression does, it costs its own event, and that in bounds.
func TestHostileExpressionsCostTheirOwnEventOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ email, verdict string }{
		"Endless":      {`def f: f; f`, "took longer than"},
		"EndlessMany":  {`range(infinite)`, "gives several values"},
		"Recursion":    {`def f: [f]; f`, "the mapping"},
		"Huge":         {`"x" * 5000000`, "more than 4 MiB|took longer than"}, // on a crowded machine
		"HugeAtOnce":   {`"x" * 2147483000`, "the mapping"},
		"FarIndex":     {`[] | .[536870910] = 1`, "the mapping"},
		"LongError":    {`error("x" * 1000000)`, "email fails: xxx"},
		"ErrorOfAKind": {`error({a: 1})`, `email fails: {"a":1}`},
		"ErrorOfNull":  {`error(null)`, "email fails: null"},
		"Break":        {`label $x | break $x`, ""},
		"Several":      {`.a, .b`, "email gives several values"},
		"NotText":      {`[1]`, "email is an array, not a text"},
		"Comment":      {`.email # and more`, ""},
		"Redefines":    {`def authsync_one(f): error; def authsync_at(p): error; "a@example.com"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := decode(t, custom.New("custom:hostile"), mapping(t, tc.email), `{"type":"user.created","data":{"id":"u1"}}`)
			require.Len(t, events, 1)
			require.Regexp(t, tc.verdict, events[0].Reason)
			require.Less(t, len(events[0].Reason), 1000)
		})
	}
}

// A mapping that costs workers is halted: its events fail at once, and those of others are mapped. A change starts it again.
func TestAMappingThatCostsWorkersIsHalted(t *testing.T) {
	t.Parallel()
	const body = `{"type":"user.created","data":{"id":"u1","email":"ada@example.com"}}`
	hostile, other := custom.New("custom:hostile"), custom.New("custom:other")
	bomb, good := mapping(t, `"x" * 2147483000`), mapping(t, ".email")
	reason := ""
	for range 4 {
		reason = decode(t, hostile, bomb, body)[0].Reason
		require.Equal(t, provider.Apply, decode(t, other, good, body)[0].Verdict)
	}
	require.Contains(t, reason, "the mapping is halted until ")
	require.Contains(t, reason, "replay")
	require.Equal(t, provider.Apply, decode(t, hostile, good, body)[0].Verdict)
}

// One tenant's slow mapping, asked for by many jobs, takes one worker at a time.
func TestNeighboursAreMappedBesideASlowMapping(t *testing.T) {
	t.Parallel()
	slow := custom.New("custom:slow")
	o := mapping(t, `[range(1000000)] | length | tostring`)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = slow.DecodeContext(ctx, provider.Message{Body: []byte(`{"type":"user.created","data":{"id":"u1"}}`)}, o)
			}
		})
	}
	other := custom.New("custom:other")
	good := mapping(t, ".email")
	for range 20 {
		require.Equal(t, provider.Apply, decode(t, other, good, `{"type":"user.created","data":{"id":"u1","email":"a@example.com"}}`)[0].Verdict)
	}
	stop()
	all.Wait()
}

// That the job ends, or no worker is to be had, is no failure of the event.
func TestAStopIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := custom.New("custom:x").DecodeContext(ctx, provider.Message{Body: []byte(`{"type":"user.created"}`)}, mapping(t, ".email"))
	require.Error(t, err)
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	p, o := custom.New("custom:x"), mapping(t, ".email")
	many := "[" + strings.Repeat(`{"type":"user.created","data":{"id":"u"}},`, 100) + `{"type":"user.created"}]`
	for name, tc := range map[string]struct{ body, want string }{
		"ManyEvents":   {many, "more than 100 events"},
		"DeepObject":   {`{"type":"user.created","data":{"id":"u","x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}}`, ""},
		"OddText":      {`{"type":"user.created","data":{"id":"u\u0000"}}`, "PostgreSQL cannot store"},
		"HugeNumber":   {`{"type":"user.created","data":{"id":1e999999}}`, "records.user.id"},
		"NotUTF8":      {"{\"type\":\"user.created\",\"data\":{\"id\":\"u1\",\"email\":\"\xff\"}}", ""},
		"ObjectIsText": {`{"type":"user.created","data":"u1"}`, "records.user"},
		"TypeIsObject": {`{"type":{"a":1}}`, "event.type is an object"},
		"LongType":     {`{"type":"` + strings.Repeat("x", 100000) + `"}`, "is not mirrored"},
		"EmptyArray":   {`[]`, "its array is empty"},
		"Nulls":        {`[null, 1, "x", [], {}]`, "event.type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, decode(t, p, o, tc.body)[0].Reason, tc.want)
		})
	}
}

// A body that holds too many events is refused while its sender still listens. Where the definition says which of its parts are events,
// only the mapping knows how many there are.
func TestBodiesOfTooManyEventsAreRefused(t *testing.T) {
	t.Parallel()
	const event = `{"type":"user.created","data":{"id":"u"}}`
	list := func(n int) []byte { return []byte("[" + strings.Repeat(event+",", n-1) + event + "]") }
	o := mapping(t, ".email")
	secret := provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx"}}
	v, err := custom.New("custom:x").NewVerifier(secret, o)
	require.NoError(t, err)
	require.ErrorIs(t, v.ValidBody(list(101)), provider.ErrTooManyEvents)
	require.NoError(t, v.ValidBody(list(100)))
	require.Len(t, decode(t, custom.New("custom:x"), o, string(list(100))), 100)

	var parts map[string]any
	require.NoError(t, json.Unmarshal(o.Definition, &parts))
	parts["event"] = map[string]string{"each": ".[]|select(.type)"}
	o.Definition, err = json.Marshal(parts)
	require.NoError(t, err)
	v, err = custom.New("custom:x").NewVerifier(secret, o)
	require.NoError(t, err)
	require.NoError(t, v.ValidBody(list(101)))
}

// Definitions that are made to cost what reads them.
func TestHostileDefinitions(t *testing.T) {
	t.Parallel()
	types := map[string]string{}
	for i := range 600 {
		types[fmt.Sprint("t", i)] = "user.created"
	}
	manyTypes, err := json.Marshal(map[string]any{"signature": map[string]any{"scheme": "svix"}, "types": types, "records": map[string]any{"user": map[string]string{"id": ".id"}}})
	require.NoError(t, err)
	for name, tc := range map[string]struct{ text, want string }{
		"Large":   {`{"title":"` + strings.Repeat("x", 70000) + `"}`, "at most 65536"},
		"Deep":    {strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "options.definition"},
		"Types":   {string(manyTypes), "at most 500 are taken"},
		"NotJSON": {"{", "options.definition"},
		"Text":    {`"x"`, "it takes a mapping"},
		"Null":    {`null`, "scheme"},
		"Module":  {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `"include \"a\"; b"`, 1), "imports a module"},
		"Env":     {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `"env.HOME"`, 1), "uses env"},
		"Nested":  {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `"`+strings.Repeat("(", 15000)+"1"+strings.Repeat(")", 15000)+`"`, 1), "records"},
		"NoText":  {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `"\"a\u0000\""`, 1), "PostgreSQL cannot hold"},
		"Half":    {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `"\"\ud800\""`, 1), "PostgreSQL cannot hold"},
		"Escapes": {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `". # \\"`, 1), ""},
		"Closes":  {strings.Replace(string(mapping(t, ".email").Definition), `".email"`, `".a) | (.b"`, 1), "this is no jq expression"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := custom.Parse([]byte(tc.text))
			if tc.want != "" {
				require.ErrorContains(t, err, tc.want)
				require.Less(t, len(err.Error()), 5000)
			}
		})
	}
	var bomb strings.Builder
	bomb.WriteString("types:\n  a: &a [x,x,x,x,x,x,x,x,x]\n")
	for i := range 9 {
		fmt.Fprintf(&bomb, "  %c: &%[1]c [*%c,*%[2]c,*%[2]c,*%[2]c,*%[2]c,*%[2]c]\n", 'b'+i, 'a'+i)
	}
	_, err = custom.ReadFile("bomb.yaml", []byte(bomb.String()))
	require.ErrorContains(t, err, "anchors and aliases are not supported")
}
