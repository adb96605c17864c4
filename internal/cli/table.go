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

// narrowest is how far a column is narrowed to make a table fit.
const narrowest = 8

// gap is between columns.
const gap = 2

// table is rows under a head, aligned for people.
type table struct {
	head []string
	rows [][]string
	none string // printed in place of a table without rows
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// layout is how a table is laid out to fit.
type layout struct {
	widths []int // of the columns that are beside each other
	// hangs: the last column is on lines of its own below each row.
	hangs bool
	width int // of the whole; 0: as wide as it is
}

// clean makes the cells harmless to a terminal, for values come from outside.
func (t *table) clean() (head []string, rows [][]string) {
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
			if i < len(row)-1 {
				cells[i] = shorten(cells[i], widest)
			}
		}
		rows = append(rows, cells)
	}
	return t.head, rows
}

// lay finds how the table fits into so many columns: what the last column says hangs below its row
// if it is too long, and then the widest of the others are narrowed.
func lay(head []string, rows [][]string, width int) layout {
	natural := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			natural[i] = max(natural[i], columns(cell))
		}
	}
	l := layout{widths: natural, width: width}
	if width == 0 || total(l.widths) <= width {
		return l
	}
	if len(head) > 2 {
		l.hangs = true
		l.widths = natural[:len(head)-1]
	}
	for total(l.widths) > width {
		most := 0
		for i, w := range l.widths {
			if w > l.widths[most] {
				most = i
			}
		}
		if l.widths[most] <= narrowest {
			break
		}
		l.widths[most]--
	}
	return l
}

func total(widths []int) int {
	sum := gap * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// line is a row, aligned; paint styles a cell.
func (l layout) line(cells []string, paint func(column int, cell string) string) string {
	var b strings.Builder
	for i, width := range l.widths {
		cell := cells[i]
		if i < len(l.widths)-1 || l.hangs || l.width > 0 {
			cell = shorten(cell, width)
		}
		b.WriteString(paint(i, cell))
		if i < len(l.widths)-1 {
			b.WriteString(strings.Repeat(" ", max(width-columns(cell), 0)+gap))
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// below gives what hangs below a row: the last cell, wrapped.
func (l layout) below(cells []string) []string {
	last := cells[len(cells)-1]
	if !l.hangs || last == "-" || last == "" {
		return nil
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(last) {
		if line != "" && gap+columns(line)+1+columns(word) > l.width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// print prints the table, such that it fits the terminal.
func (s *session) print(t table) error { return s.printTo(s.Out, t, s.width()) }

func (s *session) printTo(w io.Writer, t table, width int) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, t.none)
		return err
	}
	head, rows := t.clean()
	l := lay(head, rows, width)
	var b strings.Builder
	b.WriteString(l.line(head, func(_ int, cell string) string { return s.styled(bold, cell) }) + "\n")
	for _, row := range rows {
		b.WriteString(l.line(row, s.painter(head)) + "\n")
		for _, more := range l.below(row) {
			b.WriteString(strings.Repeat(" ", gap) + s.styled(dim, more) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// painter styles the words in columns of states and outcomes.
func (s *session) painter(head []string) func(int, string) string {
	return func(column int, cell string) string {
		if name := head[column]; name == "OUTCOME" || name == "STATE" {
			return s.styled(styleOf(cell), cell)
		}
		return cell
	}
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

// shortClock writes a time for people in lists, where the year is plain: UTC, to the second.
func shortClock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("01-02 15:04:05Z")
}

func shortClockOrDash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return shortClock(*t)
}

// day writes the day of a time, in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

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
