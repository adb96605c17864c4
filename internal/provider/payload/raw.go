package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of jsonb values. PostgreSQL's numeric, which jsonb uses for numbers, accepts 131072 digits
// before and 16383 after the decimal point, and writes exponents out in full: 1e100000 is 11 bytes
// on the wire and 100 kB in every query result. No user object needs a number with a thousand
// digits.
const (
	maxRawDepth     = 500
	maxNumberLength = 1000
	maxExponent     = 1000
)

// deepPart replaces a part of a user object that is nested too deeply.
const deepPart = `"(nested deeper than 500 levels)"`

// Storable returns a user object in a form valid for jsonb: unchanged if possible, otherwise a copy
// in which what PostgreSQL refuses is replaced: characters by U+FFFD, a number by its text, a deep
// part by a sentence. The note says how many were replaced; it is empty if nothing was. An odd
// value in metadata, which end users often write themselves, therefore cannot keep a user from
// being mirrored; the exact bytes stay in the inbox.
func Storable(object Value) (raw json.RawMessage, note string) {
	s := scrubber{src: object, allUTF8: utf8.Valid(object)}
	s.scan()
	if s.done == 0 {
		return json.RawMessage(object), ""
	}
	return append(s.out, s.src[s.done:]...), s.note()
}

type scrubber struct {
	src     []byte
	allUTF8 bool

	out  []byte // the replacement of src[:done]
	done int

	characters, numbers, deep int
}

func (s *scrubber) scan() {
	depth := 0
	for i := 0; i < len(s.src); {
		switch c := s.src[i]; {
		case c == '"':
			i = s.scanString(i)
		case c == '{' || c == '[':
			if depth == maxRawDepth {
				end := valueEnd(s.src, i)
				s.replace(i, end, deepPart)
				s.deep++
				i = end
				continue
			}
			depth++
			i++
		case c == '}' || c == ']':
			depth--
			i++
		case c == '-' || c >= '0' && c <= '9':
			i = s.scanNumber(i)
		default:
			i++
		}
	}
}

func (s *scrubber) scanString(i int) (end int) {
	end = stringEnd(s.src, i)
	if s.allUTF8 && bytes.IndexByte(s.src[i:end], '\\') < 0 {
		return end
	}
	for i++; i < end-1; {
		_, size := char(s.src[i : end-1])
		if size < 0 {
			size = -size
			s.replace(i, i+size, replacement)
			s.characters++
		}
		i += size
	}
	return end
}

func (s *scrubber) scanNumber(i int) (end int) {
	end = scalarEnd(s.src, i)
	if !numericHolds(s.src[i:end]) {
		s.replace(i, i, `"`)
		s.replace(end, end, `"`)
		s.numbers++
	}
	return end
}

func (s *scrubber) replace(from, to int, with string) {
	s.out = append(s.out, s.src[s.done:from]...)
	s.out = append(s.out, with...)
	s.done = to
}

func numericHolds(number []byte) bool {
	if len(number) > maxNumberLength {
		return false
	}
	e := bytes.IndexAny(number, "eE")
	if e < 0 {
		return true
	}
	exponent := 0
	for _, c := range bytes.TrimLeft(number[e+1:], "+-") {
		if exponent = exponent*10 + int(c-'0'); exponent > maxExponent {
			return false
		}
	}
	return true
}

func (s *scrubber) note() string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(s.characters, "character", "characters")
	add(s.numbers, "number out of range", "numbers out of range")
	add(s.deep, "part nested deeper than 500 levels", "parts nested deeper than 500 levels")
	return "raw: replaced what PostgreSQL cannot hold: " + strings.Join(parts, ", ")
}
