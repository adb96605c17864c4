package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/authsync/authsync/internal/provider"
)

// maxDepth is encoding/json's limit on nesting.
const maxDepth = 10000

// Value is one value of a valid JSON document, unmodified and without surrounding space. Nil is an
// absent value.
type Value []byte

// Null returns an explicit null.
func Null() Value { return Value("null") }

// Parse returns the value of a document. The error can be shown to the sender and quotes nothing of
// the document.
func Parse(doc []byte) (Value, error) {
	doc = WithoutBOM(doc)
	if json.Valid(doc) {
		return Value(bytes.Trim(doc, " \t\r\n")), nil
	}
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, errors.New("the body is empty: it must be JSON")
	}
	if bytes.HasPrefix(doc, []byte{0xfe, 0xff}) || bytes.HasPrefix(doc, []byte{0xff, 0xfe}) {
		return nil, errors.New("the body is UTF-16: JSON must be sent as UTF-8")
	}
	if nestsDeeper(doc, maxDepth) {
		return nil, fmt.Errorf("the body nests deeper than %d levels: no JSON reader here goes that deep", maxDepth)
	}
	var raw json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(doc, &raw)); ok {
		return nil, fmt.Errorf("the body is not JSON: it goes wrong at byte %d of %d", syntax.Offset, len(doc))
	}
	return nil, errors.New("the body is not JSON")
}

// WithoutBOM removes the byte order mark that some senders put before a document. It is not part of
// JSON, but is signed with the rest.
func WithoutBOM(doc []byte) []byte { return bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")) }

// CheckBody returns an error, which can be shown to the sender, if a body can hold no event: it is
// not JSON, or neither an object nor an array.
func CheckBody(body []byte) error {
	_, err := ParseBody(body)
	return err
}

// ParseBody parses a body, with the errors of CheckBody.
func ParseBody(body []byte) (Value, error) {
	doc, err := Parse(body)
	if err == nil && !doc.IsObject() && !doc.IsArray() {
		err = fmt.Errorf("the body is %s: it must be a JSON object", doc.Kind())
	}
	return doc, err
}

// CheckCount returns a wrapped provider.ErrTooManyEvents if a body holds more events than a provider takes in one.
func CheckCount(n, most int) error {
	if n > most {
		return fmt.Errorf("%w: %d, where at most %d are taken", provider.ErrTooManyEvents, n, most)
	}
	return nil
}

// IsAbsent reports whether the key is missing rather than null.
func (v Value) IsAbsent() bool { return v == nil }

// IsNull reports whether the value is an explicit null.
func (v Value) IsNull() bool { return len(v) > 0 && v[0] == 'n' }

// IsObject reports whether the value is an object.
func (v Value) IsObject() bool { return len(v) > 0 && v[0] == '{' }

// IsArray reports whether the value is an array.
func (v Value) IsArray() bool { return len(v) > 0 && v[0] == '[' }

// IsText reports whether the value is a string.
func (v Value) IsText() bool { return len(v) > 0 && v[0] == '"' }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool { return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') }

// Is reports whether the value is a string equal to text.
func (v Value) Is(text string) bool {
	if !v.IsText() {
		return false
	}
	got, flaws := v.Text()
	return got == text && flaws == 0
}

// Plain returns the text of a string, and "" for everything else.
func (v Value) Plain() string {
	if !v.IsText() {
		return ""
	}
	text, _ := v.Text()
	return text
}

// Kind describes the type of the value, such as "a number".
func (v Value) Kind() string {
	switch {
	case v.IsAbsent():
		return "missing"
	case v.IsNull():
		return "null"
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.IsText():
		return "a text"
	case v.IsNumber():
		return "a number"
	default:
		return "true or false"
	}
}

// Members yields the keys and values of an object in order. A repeated key is yielded each time:
// let the last one win, as jsonb does.
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		i := skipSpace(v, 1)
		for v[i] != '}' {
			end := stringEnd(v, i)
			key := []byte(v[i+1 : end-1])
			if bytes.IndexByte(key, '\\') >= 0 {
				text, _ := v[i:end].Text()
				key = []byte(text)
			}
			i = skipSpace(v, skipSpace(v, end)+1)
			end = valueEnd(v, i)
			if !yield(key, v[i:end:end]) {
				return
			}
			if i = skipSpace(v, end); v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Len returns how many elements an array has.
func (v Value) Len() (n int) {
	for range v.Elements() {
		n++
	}
	return n
}

// Elements yields the values of an array.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		i := skipSpace(v, 1)
		for v[i] != ']' {
			end := valueEnd(v, i)
			if !yield(v[i:end:end]) {
				return
			}
			if i = skipSpace(v, end); v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Member returns the last value of a key, nil if the object has none.
func (v Value) Member(key string) Value {
	var found Value
	for k, value := range v.Members() {
		if string(k) == key {
			found = value
		}
	}
	return found
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins at i.
func stringEnd(b []byte, i int) int {
	i++
	quote := i + bytes.IndexByte(b[i:], '"')
	escape := bytes.IndexByte(b[i:quote], '\\')
	if escape < 0 {
		return quote + 1
	}
	// Continue byte by byte: searching for the next quote after each escape would take quadratic
	// time.
	for i += escape; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns the index after the value that begins at i. It does not recurse, so deep nesting
// uses no stack.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	default:
		return scalarEnd(b, i)
	}
}

// scalarEnd returns the index after the number, true, false or null at i.
func scalarEnd(b []byte, i int) int {
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
		i++
	}
	return i
}

// nestsDeeper accepts any bytes, valid or not.
func nestsDeeper(doc []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
