package providertest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// RequireValid checks what provider.Event promises of every event, whatever
// the delivery was.
func RequireValid(t *testing.T, events []provider.Event) {
	t.Helper()
	require.NotEmpty(t, events, "a delivery has at least one event")
	for i := range events {
		e := &events[i]
		require.Equal(t, i, e.Ordinal)
		requireText(t, "the id", e.ID, 512)
		require.Equal(t, e.IDIsDigest, strings.HasPrefix(e.ID, "sha256:") && e.IDIsDigest)
		requireStorable(t, e.Type)
		requireStorable(t, e.Reason)
		require.False(t, e.SentAt.IsZero())
		for _, clock := range []time.Time{e.At, e.DeletedClock, e.SentAt} {
			require.Equal(t, time.UTC, clock.Location())
			require.Equal(t, clock.Truncate(time.Microsecond), clock)
		}
		if e.Verdict == provider.Refresh {
			requireText(t, "the user's id", e.UserID, 1024)
			requireText(t, "the type", e.Type, 256)
			require.False(t, e.At.IsZero())
			require.Zero(t, e.DeletedClock)
			require.Nil(t, e.Fields)
			require.Nil(t, e.Raw)
			continue
		}
		if e.Verdict != provider.Apply {
			require.NotEmpty(t, e.Reason, "an event that is not applied says why")
			require.Nil(t, e.Fields)
			require.Nil(t, e.Raw)
			continue
		}
		requireRecord(t, e)
		requireText(t, "the type", e.Type, 256)
		requireClocks(t, e)
		requireSays(t, e)
		if e.Raw != nil {
			requireRaw(t, e.Raw)
			require.Equal(t, string(e.Raw), string(payload.Redact(e.Raw)), "raw holds no live token")
		}
	}
}

// requireRecord checks that the event names its record, and the records that it belongs to.
func requireRecord(t *testing.T, e *provider.Event) {
	t.Helper()
	requireText(t, "the record's id", e.Record().ID, 1024)
	for _, id := range []string{e.OrganizationID, e.UserID, e.ObjectID} {
		require.LessOrEqual(t, len(id), 1024)
		requireStorable(t, id)
	}
	for column, id := range map[record.Column]string{record.OrganizationID: e.OrganizationID, record.UserID: e.UserID} {
		if value := e.Fields[column]; value != nil {
			require.Equal(t, id, *value, column)
		}
	}
}

func requireClocks(t *testing.T, e *provider.Event) {
	t.Helper()
	require.False(t, e.Time().IsZero())
	if e.RoleAdded != "" || e.RoleRemoved != "" {
		require.Equal(t, record.Membership, e.RecordType)
		require.NotEqual(t, e.RoleAdded == "", e.RoleRemoved == "")
		requireText(t, "the role", e.RoleAdded+e.RoleRemoved, 1024)
		require.Equal(t, provider.Fields{}, e.Fields, "a role says nothing of its membership, not even that it exists")
		require.Nil(t, e.Raw)
		require.Zero(t, e.DeletedClock)
		return
	}
	deletedAt, says := e.Fields[record.DeletedAt]
	require.True(t, says, "an applied event always speaks of deleted_at")
	require.Equal(t, deletedAt != nil, !e.DeletedClock.IsZero(), "exactly deletions have a deletion's clock")
	require.Equal(t, e.Raw != nil, !e.At.IsZero(), "exactly what carries a profile has a clock for it")
	if e.At.IsZero() {
		require.Len(t, e.Fields, 1, "without a clock no column is said but deleted_at")
	}
}

func requireSays(t *testing.T, e *provider.Event) {
	t.Helper()
	definition, ok := record.Of(e.Record().Type)
	require.True(t, ok)
	for column, value := range e.Fields {
		require.Contains(t, definition.Columns, column, "a column of %s", definition.Table)
		if value == nil {
			continue
		}
		requireStorable(t, *value)
		switch column.SQLType() {
		case "timestamptz":
			at, err := time.Parse(time.RFC3339Nano, *value)
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(*value, "Z"), "%s is in UTC", column)
			require.Equal(t, at.Truncate(time.Microsecond), at)
			require.True(t, at.Year() >= 1 && at.Year() <= 9999)
		case "text[]":
			requireArray(t, *value)
		case "text":
		default:
			require.Failf(t, "unexpected column", "%s", column)
		}
	}
}

// requireArray checks that a text[] is in the one form that record.Array makes: braces, and quoted
// elements with commas between.
func requireArray(t *testing.T, text string) {
	t.Helper()
	require.True(t, len(text) >= 2 && text[0] == '{' && text[len(text)-1] == '}', text)
	rest := text[1 : len(text)-1]
	for rest != "" {
		require.Equal(t, byte('"'), rest[0], text)
		end := 1
		for rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
			require.Less(t, end, len(rest), text)
		}
		if rest = rest[end+1:]; rest != "" {
			require.Equal(t, byte(','), rest[0], text)
			rest = rest[1:]
			require.NotEmpty(t, rest, text)
		}
	}
}

func requireRaw(t *testing.T, raw json.RawMessage) {
	t.Helper()
	require.True(t, json.Valid(raw))
	require.Equal(t, byte('{'), raw[0])
	require.True(t, utf8.Valid(raw))
	for _, part := range strings.Split(strings.ReplaceAll(string(raw), `\\`, ""), `\u`)[1:] {
		require.NotEqual(t, "0000", part[:4], "jsonb refuses an escaped U+0000")
	}
}

func requireText(t *testing.T, what, text string, limit int) {
	t.Helper()
	require.NotEmpty(t, text, what)
	require.LessOrEqual(t, len(text), limit, what)
	requireStorable(t, text)
}

func requireStorable(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text))
	require.NotContains(t, text, "\x00")
}
