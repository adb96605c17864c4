package configfile

import (
	"errors"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/strictyaml"
)

// Read reads a file. The error names what is wrong with it, with lines and columns, and quotes no values: somebody
// may have written a secret where a reference belongs. name is that of the file.
func Read(name string, text []byte) (File, error) {
	parsed, root, err := strictyaml.Parse(name, text)
	if errors.Is(err, strictyaml.ErrEmpty) {
		return File{}, fmt.Errorf("%w: authsync export writes such a file", err)
	}
	if err != nil {
		return File{}, err
	}
	parsed.Refuse = refuse
	r := &reader{parsed}
	if r.version(root); len(r.Problems) > 0 { // another version has other keys
		return File{}, r.Err()
	}
	var f File
	if err := r.Decode(root, &f); err != nil || len(r.Problems) > 0 {
		return File{}, errors.Join(err, r.Err())
	}
	r.check(&f)
	return f, r.Err()
}

func refuse(t reflect.Type) string {
	if t == reflect.TypeFor[Reference]() {
		return "a secret has no place in this file: say where it is, as in {env: NAME} or {file: PATH}"
	}
	return ""
}

// reader reads a file, and collects what is wrong with it.
type reader struct{ *strictyaml.Reader }

func (r *reader) version(root *yaml.Node) {
	for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "version" {
			if v := root.Content[i+1]; v.Value != "1" {
				r.Fail(v, "version is %.20q: this program reads version %d", v.Value, Version)
			}
			return
		}
	}
	r.Fail(root, "version is missing: begin the file with version: %d", Version)
}
