package auth0

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"github.com/authsync/authsync/internal/provider/payload"
)

const space = " \t\r\n"

// isLines reports whether a body that is not a JSON document holds one object per line, as a log
// stream in format JSON lines sends: its first line is an object by itself, or another line begins
// with one, so that one truncated line does not make the others unreadable. The Content-Type is
// ignored, because on a log stream it is configurable.
func isLines(body []byte) bool {
	count := 0
	for _, line := range lines(body) {
		count++
		switch {
		case count == 1 && bytes.TrimLeft(line, space)[0] != '{':
			return false
		case count == 1:
			if object, err := payload.Parse(line); err == nil && object.IsObject() {
				return true // the body is not a document, so more must follow
			}
		case line[0] == '{': // in a multi-line document it would be indented
			return true
		}
	}
	return false
}

// lines yields the number, from 1, and the text of each non-blank line, without the line ending or
// a leading byte order mark.
func lines(body []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		n := 0
		for line := range bytes.Lines(payload.WithoutBOM(body)) {
			n++
			if len(bytes.Trim(line, space)) > 0 && !yield(n, bytes.TrimRight(line, space)) {
				return
			}
		}
	}
}

// parseLine parses the nth line. The problem identifies the line and can be shown to the sender.
func parseLine(n int, line []byte) (object payload.Value, problem string) {
	object, err := payload.Parse(line)
	if err != nil {
		return nil, strings.Replace(err.Error(), "the body", fmt.Sprintf("line %d", n), 1)
	}
	if !object.IsObject() {
		return nil, fmt.Sprintf("line %d is %s: each line must be a JSON object", n, object.Kind())
	}
	return object, ""
}
