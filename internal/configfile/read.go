package configfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/nearest"
)

// maxProblems is how many an error names.
const maxProblems = 20

// Read reads a file. The error names what is wrong with it, with lines and columns, and quotes no values: somebody
// may have written a secret where a reference belongs. name is that of the file.
func Read(name string, text []byte) (File, error) {
	var document, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return File{}, fmt.Errorf("%s is empty: authsync export writes such a file", name)
	case err != nil:
		return File{}, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if !errors.Is(d.Decode(&second), io.EOF) {
		return File{}, fmt.Errorf("%s has several documents: one is read", name)
	}
	root := document.Content[0]
	r := &reader{file: name, at: map[string]*yaml.Node{"": root}, values: map[string]*yaml.Node{}}
	if r.version(root); len(r.problems) > 0 { // another version has other keys
		return File{}, r.err()
	}
	values := r.value(root, reflect.TypeFor[File](), "")
	if len(r.problems) > 0 {
		return File{}, r.err()
	}
	var f File
	object, err := json.Marshal(values)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(object))
		d.UseNumber()
		err = d.Decode(&f)
	}
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", name, err) // a bug: the types were checked
	}
	r.check(&f)
	return f, r.err()
}

// reader turns nodes of YAML into what JSON has, and collects what is wrong with them.
type reader struct {
	file     string
	at       map[string]*yaml.Node // the keys of mappings by their paths
	values   map[string]*yaml.Node // and their values
	problems []string
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf("%s:%d:%d: %s", r.file, n.Line, n.Column, fmt.Sprintf(format, args...)))
}

// keyAt is the key of a path, or the last of those around it that are in the file.
func (r *reader) keyAt(path string) *yaml.Node {
	for r.at[path] == nil {
		path = path[:strings.LastIndexByte(path, 0)]
	}
	return r.at[path]
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	if more := len(r.problems) - maxProblems; more > 0 {
		r.problems = append(r.problems[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(r.problems, "; "))
}

func (r *reader) version(root *yaml.Node) {
	for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "version" {
			if v := root.Content[i+1]; v.Value != "1" {
				r.fail(v, "version is %.20q: this program reads version %d", v.Value, Version)
			}
			return
		}
	}
	r.fail(root, "version is missing: begin the file with version: %d", Version)
}

// join makes the path of a member. Keys may hold dots.
func join(path, key string) string { return path + "\x00" + key }

// value reads a node that is to become a Go type; nil takes anything.
func (r *reader) value(n *yaml.Node, t reflect.Type, path string) any {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && (t.Kind() == reflect.Interface || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())) {
		t = nil // the server knows its forms
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, "anchors and aliases are not supported: write it out")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		r.fail(n, "tags such as !!str are not supported: put text in quotation marks")
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

func (r *reader) mapping(n *yaml.Node, t reflect.Type, path string) any {
	object := map[string]any{}
	var fields map[string]reflect.StructField
	switch {
	case t == nil || t.Kind() == reflect.Map:
	case t.Kind() == reflect.Struct:
		fields = fieldsOf(t)
	default:
		r.fail(n, "this is a mapping: it takes %s", kindOf(t))
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, inner := n.Content[i], n.Content[i+1]
		name, of := key.Value, reflect.Type(nil)
		field, known := fields[name]
		_, twice := object[name]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, "a key must be text")
			continue
		case twice:
			r.fail(key, "the key %.60q is given twice", name)
			continue
		case fields != nil && !known:
			r.unknown(key, "key", name, slices.Sorted(maps.Keys(fields)))
			continue
		case known:
			of = field.Type
		case t != nil:
			of = t.Elem()
		}
		r.at[join(path, name)], r.values[join(path, name)] = key, inner
		object[name] = r.value(inner, of, join(path, name))
	}
	return object
}

// unknown refuses a name that is none of those that are known.
func (r *reader) unknown(at *yaml.Node, what, name string, known []string) {
	hint := "it takes " + strings.Join(known, ", ")
	if near := nearest.Word(name, known); near != "" {
		hint = "did you mean " + strconv.Quote(near) + "?"
	}
	r.fail(at, "unknown %s %.60q: %s", what, name, hint)
}

func (r *reader) sequence(n *yaml.Node, t reflect.Type, path string) any {
	var of reflect.Type
	if t != nil {
		if t.Kind() != reflect.Slice {
			r.fail(n, "this is a list: it takes %s", kindOf(t))
			return nil
		}
		of = t.Elem()
	}
	all := []any{}
	for i, inner := range n.Content {
		all = append(all, r.value(inner, of, join(path, strconv.Itoa(i))))
	}
	return all
}

func (r *reader) scalar(n *yaml.Node, t reflect.Type) any {
	value, err := plain(n)
	if err != nil {
		r.fail(n, "%v", err)
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
	case t == reflect.TypeFor[Reference]():
		r.fail(n, "a secret has no place in this file: say where it is, as in {env: NAME} or {file: PATH}")
	case t.Kind() == reflect.String:
		r.fail(n, "this is no text: put it in quotation marks")
	default:
		r.fail(n, "it takes %s", kindOf(t))
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
