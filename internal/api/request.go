package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxBody      = 64 << 10 // bytes
	defaultLimit = 50
	maxLimit     = 200
)

// readBody reads a JSON object into a struct, whatever its Content-Type says.
// It takes no key that the struct does not have, and spells keys as the struct does.
func readBody(r *http.Request, into any) error {
	body, err := readAll(r)
	if err != nil {
		return err
	}
	return parseBody(body, into)
}

// readOptionalBody does the same, where no body at all is an empty object.
func readOptionalBody(r *http.Request, into any) error {
	body, err := readAll(r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	return parseBody(body, into)
}

func readAll(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, err
	}
	if err != nil {
		return nil, failure(http.StatusBadRequest, "the body could not be read to its end")
	}
	return body, nil
}

func parseBody(body []byte, into any) error {
	if !storable(string(body)) || bytes.Contains(body, []byte(`\u0000`)) {
		return failure(http.StatusBadRequest, "the body holds U+0000, or bytes that are not UTF-8: nothing here can store them")
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil || keys == nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && len(body) > 0 {
			return failure(http.StatusBadRequest, "the body is not JSON: see byte %d", syntax.Offset)
		}
		return failure(http.StatusBadRequest, "the body must be a JSON object")
	}
	known := jsonKeys(into)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			return failure(http.StatusBadRequest, "the body has a key %.60q that means nothing here: it takes %s", key, strings.Join(known, ", "))
		}
	}
	if err := json.Unmarshal(body, into); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return failure(http.StatusBadRequest, "%s must be %s", wrong.Field, jsonKind(wrong.Type.Kind()))
		}
		return failure(http.StatusBadRequest, "the body has the wrong form")
	}
	return nil
}

func jsonKeys(of any) []string {
	var keys []string
	for field := range reflect.TypeOf(of).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		keys = append(keys, name)
	}
	return keys
}

func jsonKind(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list of strings"
	case reflect.Int64:
		return "a whole number"
	default:
		return "of another type"
	}
}

// storable reports whether PostgreSQL's text can hold s. What it cannot hold is
// the caller's mistake, and would be an error of ours further on.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// query reads the parameters of a list. Unknown ones are refused: a filter with
// a typing error must not become a list of everything.
func query(r *http.Request, known ...string) (map[string]string, error) {
	given := map[string]string{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, failure(http.StatusBadRequest, "the query cannot be read: percent-encode what is special in it, ; as %%3B and %% as %%25")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			if len(known) == 0 {
				return nil, failure(http.StatusBadRequest, "there is no parameter %.60q here: this call takes none", name)
			}
			return nil, failure(http.StatusBadRequest, "there is no parameter %.60q here: take some of %s", name, strings.Join(known, ", "))
		}
		if len(values[name]) > 1 {
			return nil, failure(http.StatusBadRequest, "the parameter %s is given %d times: give it once", name, len(values[name]))
		}
		if given[name] = values.Get(name); !storable(given[name]) {
			return nil, failure(http.StatusBadRequest, "the parameter %s holds U+0000, or bytes that are not UTF-8", name)
		}
	}
	return given, nil
}

// page is a list, and where its next page begins; nil: there is none.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

func newPage[T any](data []T, next string) page[T] {
	p := page[T]{Data: data}
	if data == nil {
		p.Data = []T{}
	}
	if next != "" {
		p.NextCursor = &next
	}
	return p
}

func pageLimit(given map[string]string) (int, error) {
	text, ok := given["limit"]
	if !ok {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, failure(http.StatusBadRequest, "limit must be a number from 1 to %d", maxLimit)
	}
	return limit, nil
}
