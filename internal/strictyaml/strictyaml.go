// Package strictyaml reads YAML that people write, as the type that it is to become: JSON's values and no others, no
// anchors and aliases, and no key that the type does not have. Every mistake is named with its line and column, and no
// value is quoted: somebody may have written a secret where none belongs.
package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxProblems is how many an error names.
const maxProblems = 20

// ErrEmpty is an error of Parse.
var ErrEmpty = errors.New("is empty")

// Reader turns nodes of YAML into what JSON has, and collects what is wrong with them.
type Reader struct {
	// Refuse, which may be nil, has an error of its own for a text that is not of a type.
	Refuse func(t reflect.Type) string
	// Problems are what is wrong.
	Problems []Problem

	file   string
	keys   map[string]*yaml.Node // the keys of mappings by their paths
	values map[string]*yaml.Node // the values of mappings and lists
}

// Problem is what is wrong with a node.
type Problem struct {
	Line, Column int
	Text         string

	node *yaml.Node
}

// Parse parses a file of one document, of which name is what errors call it. A wrapped ErrEmpty means that it has none.
func Parse(name string, text []byte) (r *Reader, root *yaml.Node, err error) {
	var document, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil, fmt.Errorf("%s %w", name, ErrEmpty)
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if !errors.Is(d.Decode(&second), io.EOF) {
		return nil, nil, fmt.Errorf("%s has several documents: one is read", name)
	}
	return New(name, document.Content[0]), document.Content[0], nil
}

// New returns a Reader of a node.
func New(name string, root *yaml.Node) *Reader {
	return &Reader{file: name, keys: map[string]*yaml.Node{"": root}, values: map[string]*yaml.Node{}}
}

// Decode reads a node into a value of its type, unless there are problems. An error is a bug.
func (r *Reader) Decode(root *yaml.Node, into any) error {
	values := r.Value(root, reflect.TypeOf(into), "")
	if len(r.Problems) > 0 {
		return nil
	}
	object, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.file, err)
	}
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read %s: %w", r.file, err) // the types were checked
	}
	return nil
}

// Fail notes what is wrong with a node.
func (r *Reader) Fail(n *yaml.Node, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{n.Line, n.Column, fmt.Sprintf(format, args...), n})
}

// KeyAt is the key of a path, or the last of those around it that are in the file.
func (r *Reader) KeyAt(path string) *yaml.Node {
	for r.keys[path] == nil {
		path = path[:strings.LastIndexByte(path, 0)]
	}
	return r.keys[path]
}

// ValueAt is the value at a path, nil if there is none.
func (r *Reader) ValueAt(path string) *yaml.Node { return r.values[path] }

// PathOf is where a problem is, for people, such as records.user.email; "" if that is the whole document.
func (r *Reader) PathOf(p Problem) string {
	for _, places := range []map[string]*yaml.Node{r.values, r.keys} {
		for path, n := range places {
			if n == p.node {
				return strings.ReplaceAll(strings.TrimPrefix(path, "\x00"), "\x00", ".")
			}
		}
	}
	return ""
}

// Err names the problems with their places; nil if there are none.
func (r *Reader) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	var texts []string
	for _, p := range r.Problems[:min(len(r.Problems), maxProblems)] {
		texts = append(texts, fmt.Sprintf("%s:%d:%d: %s", r.file, p.Line, p.Column, p.Text))
	}
	if more := len(r.Problems) - maxProblems; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(texts, "; "))
}

// FromJSON gives a JSON document as a node, without lines.
func FromJSON(document []byte) (*yaml.Node, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return nodeOf(value), nil
}

func nodeOf(value any) *yaml.Node {
	switch v := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.Content = append(n.Content, textNode(key), nodeOf(v[key]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, element := range v {
			n.Content = append(n.Content, nodeOf(element))
		}
		return n
	case string:
		return textNode(v)
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: "null"}
	default: // a bool or a json.Number
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(v)}
	}
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: text}
}
