package payload_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

func named() payload.Mapping {
	return payload.Mapping{Type: record.User, Keys: []payload.Key{
		{Field: payload.ID, Path: "user_id"},
		{Field: payload.FirstName, Path: "given_name"},
		{Field: payload.LastName, Path: "family_name"},
		{Field: payload.FullName, Path: "name"},
	}}
}

func event(t *testing.T, object string) provider.Event {
	t.Helper()
	c := payload.Change{Mapping: named(), Path: "o", Object: parse(t, object)}
	d := provider.Message{MessageID: "m", ReceivedAt: received()}
	e := payload.New(d, 0)
	if !c.Read(d, &e, provider.Options{}) {
		return e
	}
	return c.Apply(d, e)
}

// A name that shows nothing, or is none, does not keep the full name from being used.
func TestNamesThatSayNothing(t *testing.T) {
	t.Parallel()
	const ada = `,"name":"Ada Lovelace"`
	for object, want := range map[string][3]string{ // first name, last name, reason
		`"given_name":" "` + ada:                                          {"Ada", "Lovelace", ""},
		`"given_name":"\u200b"` + ada:                                     {"Ada", "Lovelace", ""},
		`"given_name":"\u200b\u2060 \ufeff","family_name":"\u3164"` + ada: {"Ada", "Lovelace", ""},
		`"given_name":"\u200b"`:                                           {"NULL", "", ""},
		`"given_name":5` + ada:                                            {"Ada", "Lovelace", "given_name is a number, not a text: name is used instead"},
		`"given_name":[],"family_name":true` + ada:                        {"Ada", "Lovelace", "given_name is an array, not a text: name is used instead; family_name is true or false, not a text: name is used instead"},
		`"given_name":5,"name":"\u200b"`:                                  {"", "", "given_name is a number, not a text: first_name is left as it was"},
		`"given_name":5,"family_name":"L"` + ada:                          {"", "L", "given_name is a number, not a text: first_name is left as it was"},
		`"given_name":"👩‍🚀"` + ada:                                        {"👩‍🚀", "", ""},
	} {
		e := event(t, `{"user_id":"u1",`+object+`}`)
		require.Equal(t, provider.Apply, e.Verdict, e.Reason)
		require.Equal(t, want, [3]string{heard(e, record.FirstName), heard(e, record.LastName), e.Reason}, object)
	}
}

// heard is what an event says of a column: NULL clears it, and nothing is said of it if that is empty.
func heard(e provider.Event, column record.Column) string {
	switch value, is := e.Fields[column]; {
	case !is:
		return ""
	case value == nil:
		return "NULL"
	default:
		return *value
	}
}

func TestAnIDShowsSomething(t *testing.T) {
	t.Parallel()
	for _, id := range []string{``, ` `, `\t\n`, `\u200b`, `\u00a0`} {
		e := event(t, `{"user_id":"`+id+`"}`)
		require.Equal(t, provider.Fail, e.Verdict)
		require.Contains(t, e.Reason, "o.user_id is empty", id)
	}
	require.Equal(t, provider.Apply, event(t, `{"user_id":" a"}`).Verdict, "what else an id has is the provider's affair")
}
