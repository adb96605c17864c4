package audit

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Digester makes keyed digests; see seal.Keyring.
type Digester interface {
	Digest(purpose, text string) string
}

// digests is the purpose of the log's digests. It is one for all fields, so that a secret that was set twice is seen.
const digests = "audit log"

// maxChanges limits the fields of one entry.
const maxChanges = 100

// readable lists fields whose text is of a fixed form, or chosen to be read by others. The text of any other field may
// hold a secret, or data of a person.
var readable = []string{ //nolint:gochecknoglobals // constants, if Go had such
	"name", "type", "role", "expires_at", "project_id", "provider", "record_type", "since", "until", "outcome", "state", "event_type", "event_types",
	"options.absent_fields", "options.reconcile.every", "options.record_types",
}

var fieldName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// Changes returns the fields of a JSON object by their paths, such as options.reconcile.every. Booleans, null, and
// numbers outside of secrets are as they were given; text is a digest, except where it is known to be fit for everyone.
func Changes(d Digester, body []byte) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
		return nil
	}
	c := changes{digester: d, fields: map[string]any{}}
	c.object("", object)
	return c.fields
}

// Digest returns that of an id which may name a person.
func Digest(d Digester, text string) string { return d.Digest(digests, text) }

type changes struct {
	digester Digester
	fields   map[string]any
}

func (c *changes) object(path string, object map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field := name
		if !fieldName.MatchString(name) {
			field = c.digester.Digest(digests, name)
		}
		if path != "" {
			field = path + "." + field
		}
		if inner, is := object[name].(map[string]any); is && len(inner) > 0 && strings.Count(field, ".") < 5 {
			c.object(field, inner)
			continue
		}
		if len(c.fields) == maxChanges {
			c.fields["…"] = "more"
			return
		}
		c.fields[field] = c.value(field, object[name])
	}
}

func (c *changes) value(path string, value any) any {
	secret := strings.HasPrefix(path, "credentials.") || strings.HasPrefix(path, "secrets.")
	switch v := value.(type) {
	case nil:
		return nil
	case bool:
		return v
	case json.Number:
		if !secret {
			return v
		}
	case string:
		if slices.Contains(readable, path) {
			return plain(v)
		}
		return c.digester.Digest(digests, v)
	case []any:
		list := make([]any, 0, min(len(v), maxChanges))
		for _, one := range v[:min(len(v), maxChanges)] {
			list = append(list, c.value(path, one))
		}
		return list
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil // it came from JSON
	}
	return c.digester.Digest(digests, string(text))
}
