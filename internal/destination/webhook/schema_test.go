package webhook_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/destinationtest"
)

// catalogue compiles the schemas of docs/events by type of event.
func catalogue(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	paths, err := filepath.Glob("../../../docs/events/*.schema.json")
	require.NoError(t, err)
	ids := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err, path)
		var head struct {
			ID string `json:"$id"`
		}
		require.NoError(t, json.Unmarshal(text, &head))
		require.True(t, strings.HasSuffix(head.ID, "/"+filepath.Base(path)), "the id of %s is its name", path)
		require.NoError(t, compiler.AddResource(head.ID, document))
		ids[strings.TrimSuffix(filepath.Base(path), ".schema.json")] = head.ID
	}
	schemas := map[string]*jsonschema.Schema{}
	for name, id := range ids {
		schemas[name], err = compiler.Compile(id)
		require.NoError(t, err)
	}
	return schemas
}

// bodyOf is the body that a message makes, as a receiver parses it.
func bodyOf(t *testing.T, m destination.Message) map[string]any {
	t.Helper()
	d, err := webhook.Type{}.New(config("https://app.example.com"), destination.Deps{})
	require.NoError(t, err)
	requests, err := d.Preview(t.Context(), m)
	require.NoError(t, err)
	require.Len(t, requests, 1)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(requests[0].Body))
	require.NoError(t, err)
	body, is := value.(map[string]any)
	require.True(t, is)
	return body
}

func TestEventsAreAsTheCatalogueSays(t *testing.T) {
	t.Parallel()
	schemas := catalogue(t)
	firstSeenDeleted := destinationtest.Deleted()
	firstSeenDeleted.Before = nil
	for _, m := range append(every(), firstSeenDeleted) {
		body := bodyOf(t, m)
		require.NoError(t, schemas["user-event"].Validate(body))
		for _, eventType := range destination.EventTypes() {
			err := schemas[eventType].Validate(body)
			require.Equal(t, eventType == m.EventType, err == nil, "%s against %s: %v", m.EventType, eventType, err)
		}
	}
}

// The events of all record types are as the catalogue says, and so are test events.
func TestEventsOfAllRecordTypesAreAsTheCatalogueSays(t *testing.T) {
	t.Parallel()
	schemas := catalogue(t)
	for _, eventType := range destination.EventTypes() {
		m, err := destination.TestMessage(destinationtest.DestinationID(), destinationtest.ProjectID(), eventType, destinationtest.EventAt())
		require.NoError(t, err)
		body := bodyOf(t, m)
		data, is := body["data"].(map[string]any)
		require.True(t, is)
		require.Contains(t, data, string(m.RecordType))
		require.Equal(t, m.RecordType == record.User, data["user"] != nil, "each has its own record only")
		require.NoError(t, schemas[string(m.RecordType)+"-event"].Validate(body))
		for _, other := range destination.EventTypes() {
			err := schemas[other].Validate(body)
			require.Equal(t, other == eventType, err == nil, "%s against %s: %v", eventType, other, err)
		}
		d, _ := record.Of(m.RecordType)
		row, is := data[string(m.RecordType)].(map[string]any)
		require.True(t, is)
		require.ElementsMatch(t, d.Row(), slices.Collect(maps.Keys(row)))
		delete(row, d.Row()[0])
		require.Error(t, schemas[eventType].Validate(body), "a record without its key")
	}
}

// An erasure has the id and nothing else.
func TestAnErasureIsAsTheCatalogueSays(t *testing.T) {
	t.Parallel()
	m := destinationtest.Updated()
	m.EventType, m.Row, m.Before, m.Changed = destination.UserErased, json.RawMessage(`{"id": "auth0|1", "raw": null}`), nil, []string{}
	schema := catalogue(t)[destination.UserErased]
	require.NoError(t, schema.Validate(bodyOf(t, m)))
	m.Row = json.RawMessage(`{"id": "auth0|1", "email": "a@example.com"}`)
	require.Error(t, schema.Validate(bodyOf(t, m)))
}

func TestTheCatalogueRefuses(t *testing.T) {
	t.Parallel()
	schemas := catalogue(t)
	inner := func(t *testing.T, body map[string]any, names ...string) map[string]any {
		t.Helper()
		for _, name := range names {
			next, is := body[name].(map[string]any)
			require.True(t, is)
			body = next
		}
		return body
	}
	for name, c := range map[string]struct {
		message destination.Message
		change  func(t *testing.T, body map[string]any)
	}{
		"NoType":              {destinationtest.Updated(), func(_ *testing.T, b map[string]any) { delete(b, "type") }},
		"UnknownType":         {destinationtest.Updated(), func(_ *testing.T, b map[string]any) { b["type"] = "user.renamed" }},
		"NoTime":              {destinationtest.Updated(), func(_ *testing.T, b map[string]any) { b["timestamp"] = "yesterday" }},
		"NoUser":              {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); delete(inner(t, b, "data"), "user") }},
		"UserWithoutID":       {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); delete(inner(t, b, "data", "user"), "id") }},
		"EmailIsANumber":      {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data", "user")["email"] = 7 }},
		"OldEmailIsANumber":   {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data", "before")["email"] = 7 }},
		"CreatedAtIsNoTime":   {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data", "user")["created_at"] = "now" }},
		"ChangeIDIsAText":     {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data")["change_id"] = "2" }},
		"ProjectIsNoUUID":     {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data")["project_id"] = "shop" }},
		"NothingChanged":      {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data")["changed"] = []any{} }},
		"UpdatedOfNobody":     {destinationtest.Updated(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data")["before"] = nil }},
		"CreatedOfSomebody":   {destinationtest.Created(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data")["before"] = map[string]any{} }},
		"DeletedWithoutATime": {destinationtest.Deleted(), func(t *testing.T, b map[string]any) { t.Helper(); inner(t, b, "data", "user")["deleted_at"] = nil }},
		"RestoredButDeleted": {destinationtest.Restored(), func(t *testing.T, b map[string]any) {
			t.Helper()
			inner(t, b, "data", "user")["deleted_at"] = "2026-05-04T10:20:30Z"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := bodyOf(t, c.message)
			schema := schemas[c.message.EventType]
			require.NoError(t, schema.Validate(body))
			c.change(t, body)
			require.Error(t, schema.Validate(body))
		})
	}
}
