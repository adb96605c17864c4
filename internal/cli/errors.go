package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/client"
)

// errReported ends a command without success whose output has said why.
var errReported = errors.New("already reported")

// usageError is a command that was spelled wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func isUsage(err error) bool {
	_, ok := errors.AsType[usageError](err)
	// Cobra makes this one itself, as plain text, before any code of ours runs.
	return ok || strings.HasPrefix(err.Error(), "unknown command ")
}

// report writes an error and gives the exit status. With --json it is a problem document, as the
// API's errors are; otherwise a line.
func report(w io.Writer, err error, asJSON bool) (status int) {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return 1
	case isUsage(err):
		status = 2
	default:
		status = 1
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if e.Encode(problemOf(err)) == nil { //nolint:errchkjson // a problem is made of texts
			return status
		}
	}
	fmt.Fprintln(w, "authsync: "+oneLine(words(err)))
	return status
}

// problemOf is an error as a problem document: what the server answered, or with a code of ours. Those
// have no status, which is one of HTTP.
func problemOf(err error) any {
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		return refused
	}
	p := struct {
		Title  string `json:"title"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}{"Command failed", "command_failed", oneLine(words(err))}
	if isUsage(err) {
		p.Title, p.Code = "Wrong usage", "wrong_usage"
	}
	return p
}

// asksForJSON tells whether --json is among the arguments; they may be such that nothing else can
// be read of them.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
