package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// widest is the most that a column but the last takes; longer values are cut,
// --json has them whole.
const widest = 60

// table is rows under a head, aligned for people.
type table struct {
	head []string
	rows [][]string
	none string // printed in place of a table without rows
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// writeTo prints the table. Values come from outside, so whatever could steer
// a terminal is made harmless.
func (t *table) writeTo(w io.Writer) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, t.none)
		return err
	}
	last := len(t.head) - 1
	lines := make([][]string, 0, len(t.rows)+1)
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = printable(cell)
			if i < last {
				line[i] = shorten(line[i], widest)
			}
			widths[i] = max(widths[i], columns(line[i]))
		}
		lines = append(lines, line)
	}
	var b strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			b.WriteString(cell)
			if i < last {
				b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
			}
		}
		trimmed := strings.TrimRight(b.String(), " ")
		b.Reset()
		if _, err := fmt.Fprintln(w, trimmed); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces line breaks and control characters, which could forge
// rows or steer the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		default:
			return r
		}
	}, text)
}

// columns is how many columns of a terminal the text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

func shorten(text string, limit int) string {
	if columns(text) <= limit {
		return text
	}
	n := 0
	for i, r := range text {
		n += runeColumns(r)
		if n > limit-1 {
			return text[:i] + "…"
		}
	}
	return text
}

func (s *session) print(t table) error { return t.writeTo(s.Out) }

func (s *session) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format, args...)
	return err
}

func (s *session) printJSON(v any) error {
	e := json.NewEncoder(s.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// clock writes a time for people: UTC, to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z")
}

// orNull writes a value that may be NULL.
func orNull(text *string) string {
	if text == nil {
		return "-"
	}
	return orDash(*text)
}

// orDash writes a value that may be missing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// notice tells a person something beside the output, on standard error.
func (s *session) notice(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Err, format+"\n", args...)
	return err
}
