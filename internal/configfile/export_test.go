package configfile

import (
	"bytes"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/strictyaml"
)

// MarshalValue writes any value as Marshal does.
func MarshalValue(value any) []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(nodeOf(reflect.ValueOf(&value))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ReadValue reads any value as Read does.
func ReadValue(text []byte) (any, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	r := strictyaml.New("f", document.Content[0])
	value := r.Value(document.Content[0], nil, "")
	return value, r.Err()
}
