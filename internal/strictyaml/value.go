package strictyaml

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/nearest"
)

// Join makes the path of a member. Keys may hold dots.
func Join(path, key string) string { return path + "\x00" + key }

// Value reads a node that is to become a Go type; nil takes anything.
func (r *Reader) Value(n *yaml.Node, t reflect.Type, path string) any {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && (t.Kind() == reflect.Interface || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())) {
		t = nil // the server knows its forms
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.Fail(n, "anchors and aliases are not supported: write it out")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		r.Fail(n, "tags such as !!str are not supported: put text in quotation marks")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return r.mapping(n, t, path)
	case yaml.SequenceNode:
		return r.sequence(n, t, path)
	default:
		return r.scalar(n, t)
	}
}

func (r *Reader) mapping(n *yaml.Node, t reflect.Type, path string) any {
	object := map[string]any{}
	var fields map[string]reflect.StructField
	switch {
	case t == nil || t.Kind() == reflect.Map:
	case t.Kind() == reflect.Struct:
		fields = Fields(t)
	default:
		r.Fail(n, "this is a mapping: it takes %s", kindOf(t))
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, inner := n.Content[i], n.Content[i+1]
		name, of := key.Value, reflect.Type(nil)
		field, known := fields[name]
		_, twice := object[name]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.Fail(key, "a key must be text")
			continue
		case twice:
			r.Fail(key, "the key %.60q is given twice", name)
			continue
		case fields != nil && !known:
			r.Unknown(key, "key", name, slices.Sorted(maps.Keys(fields)))
			continue
		case known:
			of = field.Type
		case t != nil:
			of = t.Elem()
		}
		r.keys[Join(path, name)], r.values[Join(path, name)] = key, inner
		object[name] = r.Value(inner, of, Join(path, name))
	}
	return object
}

// Unknown refuses a name that is none of those that are known.
func (r *Reader) Unknown(at *yaml.Node, what, name string, known []string) {
	hint := "it takes " + strings.Join(known, ", ")
	if near := nearest.Word(name, known); near != "" {
		hint = "did you mean " + strconv.Quote(near) + "?"
	}
	r.Fail(at, "unknown %s %.60q: %s", what, name, hint)
}

func (r *Reader) sequence(n *yaml.Node, t reflect.Type, path string) any {
	var of reflect.Type
	if t != nil {
		if t.Kind() != reflect.Slice {
			r.Fail(n, "this is a list: it takes %s", kindOf(t))
			return nil
		}
		of = t.Elem()
	}
	all := []any{}
	for i, inner := range n.Content {
		at := Join(path, strconv.Itoa(i))
		r.values[at] = inner
		all = append(all, r.Value(inner, of, at))
	}
	return all
}

func (r *Reader) scalar(n *yaml.Node, t reflect.Type) any {
	value, err := plain(n)
	if err != nil {
		r.Fail(n, "%v", err)
		return nil
	}
	if t == nil || value == nil {
		return value
	}
	fits := false
	switch value.(type) {
	case string:
		fits = t.Kind() == reflect.String
	case bool:
		fits = t.Kind() == reflect.Bool
	case json.Number:
		fits = t.Kind() == reflect.Float64 || t.Kind() == reflect.Int && integer.MatchString(n.Value)
	}
	switch {
	case fits:
		return value
	case r.Refuse != nil && r.Refuse(t) != "":
		r.Fail(n, "%s", r.Refuse(t))
	case t.Kind() == reflect.String:
		r.Fail(n, "this is no text: put it in quotation marks")
	default:
		r.Fail(n, "it takes %s", kindOf(t))
	}
	return nil
}

// kindOf is what a Go type is in YAML.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// Fields are the fields of a struct by their names in JSON.
func Fields(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = field
	}
	return fields
}
