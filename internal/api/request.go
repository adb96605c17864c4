package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/problem"
)

const (
	maxBody      = 64 << 10 // bytes
	defaultLimit = 50
	maxLimit     = 200
)

// readBody reads a JSON object into a struct, whatever its Content-Type.
// It takes no key that the struct does not have, and spells keys as the struct does.
// No body at all is an empty object where the call has nothing that must be given.
func readBody(r *http.Request, into any) error {
	state := stateOf(r)
	state.bodyKeys = jsonKeys(into)
	body, err := state.readAll(r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 && state.bodyOptional {
		return nil
	}
	return parseBody(body, into)
}

// readAll reads the body once and may be called again.
func (s *callState) readAll(r *http.Request) ([]byte, error) {
	if s.bodyRead {
		return s.body, nil
	}
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, err
	}
	if err != nil {
		return nil, fail(malformedRequest, "the body could not be read to its end")
	}
	s.body, s.bodyRead = body, true
	return body, nil
}

// refuseBody lets a call that takes no body have none, or an empty object. What is in another
// one would be passed over, and the caller would think that it counts.
func refuseBody(r *http.Request) error {
	return readBody(r, &struct{}{})
}

func parseBody(body []byte, into any) error {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // a byte order mark, as some editors write
	if !storable(string(body)) {
		return fail(malformedRequest, "the body holds U+0000, or bytes that are not UTF-8")
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(body, &values); err != nil || values == nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && len(body) > 0 {
			return fail(malformedRequest, "the body is not JSON: see byte %d", syntax.Offset)
		}
		return fail(malformedRequest, "the body must be a JSON object")
	}
	faults := slices.Concat(repeatedFields(body), unknownFields(values, jsonKeys(into)), wrongTypes(values, into), unstorable(values))
	if len(faults) > 0 {
		return several(faults)
	}
	if err := json.Unmarshal(body, into); err != nil { // all values fit one by one
		return fail(malformedRequest, "the body has the wrong form")
	}
	return nil
}

// several is a 422 about things that are wrong at once; the detail is that of the first.
func several(faults []problem.Field) error {
	detail := faults[0].Detail
	if more := len(faults) - 1; more > 0 {
		detail += fmt.Sprintf(" (and %d more: see errors)", more)
	}
	return failing(fault.Invalid, detail, faults...)
}

func unknownFields(values map[string]json.RawMessage, known []string) (faults []problem.Field) {
	takes := "it takes " + strings.Join(known, ", ")
	if len(known) == 0 {
		takes = "this call takes none"
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, key) {
			faults = append(faults, problem.Field{
				In: inBody, Field: shortened(key), Code: problem.Unknown, Detail: fmt.Sprintf("unknown field %.60q: %s", key, takes),
			})
		}
	}
	return faults
}

// wrongTypes tries each value alone, so that all that are wrong can be reported at once.
func wrongTypes(values map[string]json.RawMessage, into any) (faults []problem.Field) {
	for name, field := range jsonFields(into) {
		value, given := values[name]
		if !given {
			continue
		}
		err := json.Unmarshal(value, reflect.New(field.Type).Interface())
		if err == nil {
			continue
		}
		kind := jsonKind(field.Type)
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && mismatch.Field != "" {
			name, kind = name+"."+mismatch.Field, jsonKind(mismatch.Type)
		}
		faults = append(faults, problem.Field{
			In: inBody, Field: name, Code: problem.WrongType, Detail: name + " must be " + kind,
		})
	}
	return faults
}

// unstorable finds values with U+0000, which is JSON and which PostgreSQL cannot hold.
func unstorable(values map[string]json.RawMessage) (faults []problem.Field) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var value any
		if json.Unmarshal(values[name], &value) == nil && holdsNUL(value) {
			faults = append(faults, problem.Field{
				In: inBody, Field: shortened(name), Code: problem.Invalid, Detail: fmt.Sprintf("%.60q holds U+0000, which nothing here can store", name),
			})
		}
	}
	return faults
}

func holdsNUL(value any) bool {
	switch v := value.(type) {
	case string:
		return !storable(v)
	case []any:
		return slices.ContainsFunc(v, holdsNUL)
	case map[string]any:
		for key, one := range v {
			if !storable(key) || holdsNUL(one) {
				return true
			}
		}
	}
	return false
}

// shortened keeps a name that somebody sent from filling the answer.
func shortened(name string) string {
	if short := []rune(name); len(short) > 60 {
		return string(short[:60]) + "…"
	}
	return name
}

func jsonKeys(of any) []string {
	var keys []string
	for name := range jsonFields(of) {
		keys = append(keys, name)
	}
	return keys
}

// jsonFields yields the fields of a struct by their names in JSON, also those of structs embedded in it.
func jsonFields(of any) iter.Seq2[string, reflect.StructField] {
	return func(yield func(string, reflect.StructField) bool) {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(of).Elem()) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !field.Anonymous && !yield(name, field) {
				return
			}
		}
	}
}

func jsonKind(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "an object of " + plural(t.Elem())
	case reflect.Struct:
		return "an object"
	case reflect.Slice:
		return "a list of strings"
	case reflect.Int64, reflect.Int:
		return "a whole number"
	default:
		return "of another type"
	}
}

func plural(t reflect.Type) string {
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.String {
		return "strings"
	}
	return "values"
}

// storable reports whether PostgreSQL's text can hold s. What it cannot hold is
// the caller's mistake, and would be an error of ours further on.
func storable(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// parseQuery reads the parameters of a call. Unknown ones are refused: a filter with
// a typing error must not become a list of everything.
func parseQuery(r *http.Request, known []string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fail(malformedRequest, "the query cannot be read: percent-encode what is special in it, ; as %%3B and %% as %%25")
	}
	takes := "this call takes " + strings.Join(known, ", ")
	if len(known) == 0 {
		takes = "this call takes none"
	}
	given := map[string]string{}
	var faults []problem.Field
	note := func(name, code, format string, args ...any) {
		faults = append(faults, problem.Field{In: inQuery, Field: shortened(name), Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch value := values.Get(name); {
		case !slices.Contains(known, name):
			note(name, problem.Unknown, "unknown parameter %.60q: %s", name, takes)
		case len(values[name]) > 1:
			note(name, problem.Repeated, "the parameter %s is given %d times: give it once", name, len(values[name]))
		case !storable(value):
			note(name, problem.Invalid, "the parameter %s holds U+0000, or bytes that are not UTF-8", name)
		case value == "" && name == "cursor": // the beginning
		case value == "":
			note(name, problem.Invalid, "the parameter %s is empty: give it a value, or leave it out", name)
		default:
			given[name] = value
		}
	}
	if len(faults) > 0 {
		return nil, several(faults)
	}
	return given, nil
}

func newPage[T any](data []T, next string) wire.Page[T] {
	p := wire.Page[T]{Data: data}
	if data == nil {
		p.Data = []T{}
	}
	if next != "" {
		p.NextCursor = &next
	}
	return p
}

// limitOf is how many entries a page shall have.
func limitOf(r *http.Request) (int, error) {
	text, ok := given(r)["limit"]
	if !ok {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, wrong(inQuery, "limit", problem.Invalid, "limit must be a number from 1 to %d", maxLimit)
	}
	return limit, nil
}

// pageOf cuts a page out of a list that is short enough to be read whole. Its cursor is the key of
// the last entry of the page before; keys grow.
func pageOf[T any](r *http.Request, all []T, key func(T) string) (answer, error) {
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	if cursor := given(r)["cursor"]; cursor != "" {
		last := slices.IndexFunc(all, func(one T) bool { return key(one) == cursor })
		if last < 0 {
			return answer{}, fault.ErrBadCursor
		}
		all = all[last+1:]
	}
	next := ""
	if len(all) > limit {
		all = all[:limit]
		next = key(all[limit-1])
	}
	return answer{status: http.StatusOK, body: newPage(all, next)}, nil
}
