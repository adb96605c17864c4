// Package pasted cleans what a person pasted: a secret out of a browser, a
// password manager, a chat or a shell tends to come with characters that nobody
// sees and that make it another one.
package pasted

import (
	"fmt"
	"strings"
	"unicode"
)

// Trim cuts off what is invisible at both ends: space of any kind, line breaks, a
// byte order mark, zero-width characters. No credential begins or ends with those.
func Trim(text string) string { return strings.TrimFunc(text, invisible) }

// Lines are the lines of a text that have something in them, each trimmed.
func Lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = Trim(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// Unquote is Trim, and takes a pair of quotation marks off, as they come with
// variables of an environment file that no shell has read.
func Unquote(text string) string {
	text = Trim(text)
	if quoted(text) {
		runes := []rune(text)
		text = Trim(string(runes[1 : len(runes)-1]))
	}
	return text
}

// Clean returns a credential without what is invisible at its ends. The error says,
// for the person who gave it and without repeating it, why the rest cannot be right:
// quotation marks around it, or an invisible character within.
func Clean(text string) (string, error) {
	text = Trim(text)
	if quoted(text) {
		return "", fmt.Errorf("begins and ends with a quotation mark (%s), which is not part of it: give it without, "+
			"and check that the other side has it without, too", string([]rune(text)[0]))
	}
	position := 0
	for _, r := range text {
		position++
		if r != ' ' && invisible(r) {
			return "", fmt.Errorf("holds %s at character %d: copy it again, as plain text and in one piece", name(r), position)
		}
	}
	return text, nil
}

func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Zl, unicode.Zp)
}

// quoted reports a pair of quotation marks around at least one character.
func quoted(text string) bool {
	runes := []rune(text)
	if len(runes) < 2 {
		return false
	}
	switch first, last := runes[0], runes[len(runes)-1]; first {
	case '"', '\'', '`', '´':
		return last == first
	case '“', '”', '„', '‟':
		return strings.ContainsRune("“”„‟", last)
	case '‘', '’', '‚', '‛':
		return strings.ContainsRune("‘’‚‛", last)
	case '«':
		return last == '»'
	default:
		return false
	}
}

func name(r rune) string {
	switch r {
	case '\n', '\r', '\u2028', '\u2029', '\u0085':
		return "a line break"
	case '\t':
		return "a tab"
	case '\u00a0', '\u202f':
		return fmt.Sprintf("a no-break space (U+%04X)", r)
	case '\ufeff':
		return "a byte order mark (U+FEFF)"
	case '\u200b', '\u200c', '\u200d', '\u2060':
		return fmt.Sprintf("a zero-width character (U+%04X)", r)
	default:
		return fmt.Sprintf("an invisible character (U+%04X)", r)
	}
}
