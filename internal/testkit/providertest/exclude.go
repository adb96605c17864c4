package providertest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// excludedFieldsAreNotStored: they are in neither the stored body nor the event, also of a message that was stored before the
// option was set and of one that is decoded after it was.
func excludedFieldsAreNotStored(t *testing.T, s Subject) {
	t.Helper()
	for key, column := range s.Columns {
		o := s.Options
		o.Exclude = []string{"nowhere.at_all", key, "ssn", "profile.score"}
		v, err := s.newVerifier(o, s.Secrets[0])
		require.NoError(t, err)
		set := map[string]any{"ssn": "078-05-1120", "profile": map[string]any{"score": 7, "kept": []any{map[string]any{"ssn": 1, "score": 8}}}}
		for key := range s.Columns {
			set[key] = "value-of-" + key
		}
		header, body := s.sign(t, provider.Sample{Type: "user.updated", UserID: "user-1", Set: set}, s.Secrets[0])
		_, err = v.Verify(header, body, ReceivedAt())
		require.NoError(t, err, "it is verified as it was signed")
		stored, excluded := v.Redact(body)
		body, _ = s.verifier(t, s.Secrets[0]).Redact(body)
		if !strings.Contains(string(body), `"`+key+`"`) {
			continue // the sample puts it elsewhere
		}
		whole := strings.Contains(string(body), `"kept"`) // the sample of a definition has what it maps
		if require.Contains(t, excluded, key); whole {
			require.ElementsMatch(t, []string{key, "ssn", "profile.score"}, excluded)
		}
		require.True(t, json.Valid(stored), "%s", stored)
		for _, gone := range []string{`"` + key + `"`, "value-of-" + key, "ssn", "078-05-1120"} {
			require.NotContains(t, string(stored), gone)
		}
		var events [2]provider.Event
		for i, body := range [][]byte{body, stored} {
			decoded := s.Provider.Decode(provider.Message{MessageID: "msg_1", ReceivedAt: ReceivedAt(), Body: body}, o)
			RequireValid(t, decoded)
			require.Len(t, decoded, 1)
			events[i] = decoded[0]
		}
		require.Equal(t, events[0].Fields, events[1].Fields)
		require.Equal(t, string(events[0].Raw), string(events[1].Raw))
		require.Equal(t, provider.Apply, events[0].Verdict, events[0].Reason)
		require.Equal(t, "user-1", events[0].UserID)
		if builtIn(s) {
			require.NotContains(t, events[0].Fields, column, "what is absent says nothing")
		} else {
			require.Nil(t, events[0].Fields[column], "it is what the expression makes of a missing key")
		}
		require.NotContains(t, string(events[0].Raw), "value-of-"+key)
		if importer, reads := s.Provider.(provider.Importer); reads {
			i := provider.Import{RunID: "run", Kind: provider.KindReconcile, FetchedAt: ReceivedAt(), Whole: true}
			whole := events[0].Raw // an object as the provider's API has it
			decoded := s.Provider.Decode(provider.Message{MessageID: "msg_1", ReceivedAt: ReceivedAt(), Body: body}, s.Options)
			imported := importer.DecodeUser(decoded[0].Raw, i, o)
			require.Equal(t, string(whole), string(imported.Raw))
			value, says := imported.Fields[column]
			require.True(t, says, "what is missing from a whole object was cleared")
			require.Nil(t, value)
			rules := importer.Comparison(record.User).Excluding(o)
			require.Contains(t, rules.Complete, key, "so a reconcile finds what the mirror still has of it")
			require.NotContains(t, rules.Quiet, key)
		}
		if whole && builtIn(s) {
			require.Contains(t, string(events[0].Raw), `{"kept":[{"score":8}]}`, "a path removes nothing elsewhere")
		}
	}
}

// neededFieldsStay: what events are recognized by cannot be excluded, as far as that is known.
func neededFieldsStay(t *testing.T, s Subject) {
	t.Helper()
	_, body := s.sign(t, provider.Sample{Type: "user.updated", UserID: "user-1"}, s.Secrets[0])
	plain, _ := s.verifier(t, s.Secrets[0]).Redact(body)
	var keys map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(plain, &keys))
	for key := range keys {
		o := s.Options
		o.Exclude = []string{key}
		v, err := s.newVerifier(o, s.Secrets[0])
		if err != nil {
			require.ErrorContains(t, err, "options.exclude")
			continue
		}
		stored, _ := v.Redact(body)
		e := s.Provider.Decode(provider.Message{MessageID: "msg_1", ReceivedAt: ReceivedAt(), Body: stored}, o)[0]
		if e.Verdict != provider.Apply && !builtIn(s) {
			require.NotEmpty(t, e.Reason)
			continue // what a jq expression reads is not known, but that it is missing shows
		}
		require.Equal(t, provider.Apply, e.Verdict, "without %s: %s", key, e.Reason)
		require.Equal(t, "user-1", e.UserID)
	}
	for _, bad := range []string{"", ".", "a..b", `a\`, "a.b.c.d.e.f.g.h.i", "a\x00"} {
		o := s.Options
		o.Exclude = []string{bad}
		_, err := s.newVerifier(o, s.Secrets[0])
		require.ErrorContains(t, err, "options.exclude", "%q", bad)
	}
}

// builtIn reports whether a provider has no definition.
func builtIn(s Subject) bool { return slices.Contains(provider.Names(), s.Provider.Name()) }
