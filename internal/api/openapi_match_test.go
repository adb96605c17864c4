package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMatcherFindsFaults(t *testing.T) {
	t.Parallel()
	m := matcher{doc: description(t)}
	good := object{"id": "x", "name": "shop", "database": nil, "created_at": "2026-05-04T10:20:30Z", "keep_days": object{}, "retention": object{}}
	schema := object{"$ref": "#/components/schemas/Project"}
	require.Empty(t, m.faults("", schema, good))
	for name, value := range map[string]any{
		"id": 1.0, "name": nil, "created_at": "yesterday", "orphaned": "x",
	} {
		bad := object{name: value}
		for k, v := range good {
			if k != name {
				bad[k] = v
			}
		}
		require.Len(t, m.faults("", schema, bad), 1, name)
	}
	require.Len(t, m.faults("", schema, object{"id": "x"}), 5, "required keys are missing")
	require.NotEmpty(t, m.faults("", object{"$ref": "#/components/schemas/Outcome"}, "gone"))
}

// mustMatch holds an answer against the description of its call.
func mustMatch(t *testing.T, doc object, method, path string, answer reply) {
	t.Helper()
	responses, ok := at(t, doc, "paths", path, strings.ToLower(method), "responses").(object)
	require.True(t, ok)
	response, ok := responses[strconv.Itoa(answer.status)].(object)
	if !ok {
		require.GreaterOrEqual(t, answer.status, 400, "%s %s answers %d, which is not described", method, path, answer.status)
		response, ok = responses["default"].(object)
		require.True(t, ok)
	}
	m := matcher{doc: doc}
	response = m.resolve(response)
	if answer.status == http.StatusNoContent {
		require.NotContains(t, response, "content")
		return
	}
	schema, ok := at(t, response, "content", answer.header.Get("Content-Type"), "schema").(object)
	require.True(t, ok)
	require.Empty(t, m.faults("", schema, answer.body), "%s %s: %s", method, path, answer.text)
}

// matcher knows as much of JSON Schema as docs/openapi.yaml uses for answers.
type matcher struct{ doc object }

func (m matcher) resolve(schema object) object {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	var in any = m.doc
	for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		o, _ := in.(object)
		in = o[key]
	}
	o, _ := in.(object)
	return m.resolve(o)
}

// merged joins a schema with those of its allOf, properties and required keys included.
func (m matcher) merged(schema object) object {
	schema = m.resolve(schema)
	parts, ok := schema["allOf"].([]any)
	if !ok {
		return schema
	}
	properties, required := object{}, []any{}
	for _, part := range parts {
		o, _ := part.(object)
		one := m.merged(o)
		more, _ := one["properties"].(object)
		maps.Copy(properties, more)
		required = append(required, listed(one["required"])...)
	}
	return object{"type": "object", "properties": properties, "required": required}
}

func (m matcher) faults(where string, schema object, value any) (faults []string) {
	schema = m.merged(schema)
	if alternatives, ok := schema["anyOf"].([]any); ok {
		for _, alternative := range alternatives {
			o, _ := alternative.(object)
			found := m.faults(where, o, value)
			if len(found) == 0 {
				return nil
			}
			faults = append(faults, found...)
		}
		return faults
	}
	if types := listed(schema["type"]); len(types) > 0 && !slices.Contains(types, any(kind(value))) &&
		(kind(value) != "number" || !slices.Contains(types, any("integer"))) {
		return []string{fmt.Sprintf("%s is %s, not %v", where, kind(value), types)}
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		faults = append(faults, fmt.Sprintf("%s is %v, none of %v", where, value, enum))
	}
	if text, ok := value.(string); ok && schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			faults = append(faults, where+" is no time")
		}
	}
	switch v := value.(type) {
	case object:
		faults = append(faults, m.objectFaults(where, schema, v)...)
	case []any:
		items, _ := schema["items"].(object)
		for i, item := range v {
			faults = append(faults, m.faults(fmt.Sprintf("%s[%d]", where, i), items, item)...)
		}
	}
	return faults
}

// objectFaults also finds keys that are not described, unless any key is.
func (m matcher) objectFaults(where string, schema, value object) (faults []string) {
	for _, key := range listed(schema["required"]) {
		if _, ok := value[fmt.Sprint(key)]; !ok {
			faults = append(faults, fmt.Sprintf("%s has no %v", where, key))
		}
	}
	properties, closed := schema["properties"].(object)
	others, _ := schema["additionalProperties"].(object)
	for key, v := range value {
		one, described := properties[key].(object)
		switch {
		case described:
			faults = append(faults, m.faults(where+"."+key, one, v)...)
		case others != nil:
			faults = append(faults, m.faults(where+"."+key, others, v)...)
		case closed:
			faults = append(faults, where+"."+key+" is not described")
		}
	}
	return faults
}

func listed(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}
