package cli

import (
	"os"
	"strconv"

	"golang.org/x/term"
)

// screen tells whether a person's terminal is at the other end of a stream, and how wide it is.
func (p Process) screen(stream any) (columns int, ok bool) {
	if p.Screen != nil {
		return p.Screen(stream)
	}
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil || columns < minWidth {
		columns = 80
	}
	return columns, true
}

// minWidth is the narrowest that tables are made.
const minWidth = 40

// terminal tells how wide the terminal is that the command writes to.
func (s *session) terminal() (columns int, ok bool) { return s.screen(s.Out) }

// width is how wide tables may be: as the terminal, otherwise as COLUMNS. 0: as wide as they are,
// for what reads a pipe wants whole rows.
func (s *session) width() int {
	if columns, ok := s.terminal(); ok {
		return columns
	}
	if s.Lookup == nil {
		return 0
	}
	columns, err := strconv.Atoi(s.Lookup("COLUMNS"))
	if err != nil || columns < minWidth {
		return 0
	}
	return columns
}

// The styles of text on a terminal, as the numbers of SGR.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// colourful tells whether to colour what is written to the output: on a terminal that can,
// unless NO_COLOR is set (see no-color.org).
func (s *session) colourful() bool {
	_, ok := s.terminal()
	return ok && s.Lookup("NO_COLOR") == "" && s.Lookup("TERM") != "dumb"
}

// styled gives text in a style, if the output is coloured at all.
func (s *session) styled(style, text string) string {
	if style == "" || !s.colourful() {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// styleOf is the style of a word for a state or an outcome.
func styleOf(word string) string {
	switch word {
	case "applied", "delivered", "active", "done", "current", "ok", "equal", "repaired":
		return green
	case "failed", "disabled", "missing", "interrupted", "rejected":
		return red
	case "pending", "paused", "retrying", "blocked", "held", "waiting", "behind", "warning":
		return yellow
	case "stale", "duplicate", "ignored", "coalesced", "cancelled":
		return dim
	default:
		return ""
	}
}
