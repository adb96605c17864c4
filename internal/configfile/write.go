package configfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// head is what every written file begins with.
const head = "# yaml-language-server: $schema=" + SchemaURL + "\n" +
	"# Secrets are never exported: provide each one where its env or file says.\n" +
	"# See docs/config-as-code.md.\n"

// Marshal writes a file as YAML. The same File gives the same text.
func Marshal(f File) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(nodeOf(reflect.ValueOf(f))); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

// nodeOf is a value as YAML: structs in the order of their fields, maps in that of their keys.
func nodeOf(v reflect.Value) *yaml.Node {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	if number, is := reflect.TypeAssert[json.Number](v); is {
		return numberOf(number)
	}
	switch v.Kind() {
	case reflect.Struct:
		return structNode(v)
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, key := range keys {
			n.Content = append(n.Content, scalarOf(key.String(), true), nodeOf(v.MapIndex(key)))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, nodeOf(v.Index(i)))
		}
		return n
	case reflect.String:
		return scalarOf(v.String(), false)
	case reflect.Bool:
		return boolOf(v.Bool())
	default: // a whole number
		return numberOf(json.Number(strconv.FormatInt(v.Int(), 10)))
	}
}

func structNode(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	if v.Type() == reflect.TypeFor[Reference]() {
		n.Style = yaml.FlowStyle
	}
	for i := range v.NumField() {
		name, how, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		isList := field.Kind() == reflect.Map || field.Kind() == reflect.Slice
		if how == "omitempty" && (field.IsZero() || isList && field.Len() == 0) {
			continue
		}
		n.Content = append(n.Content, scalarOf(name, true), nodeOf(field))
	}
	return n
}
