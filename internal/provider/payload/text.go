package payload

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// replacement replaces a character that PostgreSQL cannot store.
const replacement = string(utf8.RuneError)

// Text decodes a string. Characters that PostgreSQL's text cannot store become U+FFFD: U+0000,
// unpaired surrogates, and invalid UTF-8. flaws counts them.
func (v Value) Text() (text string, flaws int) {
	b := v[1 : len(v)-1]
	if bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) {
		return string(b), 0
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, size := char(b[i:])
		if size < 0 {
			size = -size
			flaws++
		}
		out = utf8.AppendRune(out, r)
		i += size
	}
	return string(out), flaws
}

// char decodes the first character of the inside of a JSON string. size is its length there; it is
// negative, and the character U+FFFD, if PostgreSQL cannot store it.
func char(b []byte) (r rune, size int) {
	if b[0] != '\\' {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return r, -1
		}
		return r, size
	}
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unicodeEscape(b)
	default: // a quote, a slash or a backslash
		return rune(b[1]), 2
	}
}

// unicodeEscape decodes \uXXXX, including the second half of a surrogate pair.
func unicodeEscape(b []byte) (r rune, size int) {
	r = hexRune(b[2:6])
	switch {
	case r == 0:
		return utf8.RuneError, -6
	case !utf16.IsSurrogate(r):
		return r, 6
	case len(b) >= 12 && b[6] == '\\' && b[7] == 'u':
		if pair := utf16.DecodeRune(r, hexRune(b[8:12])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, -6
}

func hexRune(b []byte) rune {
	n, err := strconv.ParseUint(string(b), 16, 16)
	if err != nil {
		return utf8.RuneError // impossible in a valid document
	}
	return rune(n)
}

// cut truncates a text to at most limit bytes without splitting a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
