package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/project"
)

// terminal writes the log warnings that a person should see immediately, each as a plain line. A
// repeated warning is written once a minute, with a count; the log has every one.
//
//	10:20:31 warning      mirror unusable: project demo: install the mirror: the schema is damaged: …
type terminal struct {
	*terminalState

	attrs []slog.Attr
}

// terminalState is shared by a handler and those derived from it.
type terminalState struct {
	now  func() time.Time
	demo atomic.Pointer[project.Project] // shown by its name; others by their ids

	mu   sync.Mutex
	out  io.Writer // nil once nothing more is to be shown
	said map[string]*saidBefore
}

type saidBefore struct {
	at   time.Time
	more int
}

const (
	// repeatedAfter is the minimum interval between equal warnings.
	repeatedAfter = time.Minute
	// maxSaid limits the warnings remembered.
	maxSaid = 1000
)

// ofNoUseAtOnce reports whether an attribute is useful only in the log.
func ofNoUseAtOnce(key string) bool {
	return slices.Contains([]string{"next_try", "sqlstate", "took", "duration", "attempt", "job_id"}, key)
}

func newTerminal(out io.Writer) *terminal {
	return &terminal{terminalState: &terminalState{now: time.Now, out: out, said: map[string]*saidBefore{}}}
}

// close silences it when the server is told to stop: complaints about aborted work then do not
// concern a person.
func (t *terminalState) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = nil
}

func (*terminal) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (t *terminal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &terminal{terminalState: t.terminalState, attrs: append(slices.Clip(t.attrs), attrs...)}
}

// WithGroup ignores groups, which are of no use to a person.
func (t *terminal) WithGroup(string) slog.Handler { return t }

func (t *terminal) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "event_failed" { // the line about its message includes it
		return nil
	}
	text := t.text(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.out == nil {
		return nil
	}
	now := t.now()
	before, known := t.said[text]
	if known && now.Sub(before.at) < repeatedAfter {
		before.more++
		return nil
	}
	if len(t.said) >= maxSaid {
		clear(t.said)
	}
	t.said[text] = &saidBefore{at: now}
	level := "warning"
	if r.Level >= slog.LevelError {
		level = "error"
	}
	again := ""
	if known && before.more > 0 {
		again = fmt.Sprintf(" (%s since %s)", plural.Of(before.more, "more time"), before.at.Local().Format(time.TimeOnly))
	}
	_, err := fmt.Fprintf(t.out, "%s %-12s %s%s\n", now.Local().Format(time.TimeOnly), level, text, again)
	return err
}

// text returns a record's text, without its time.
func (t *terminal) text(r slog.Record) string {
	parts := []string{strings.ReplaceAll(r.Message, "_", " ")}
	var why, rest []string
	add := func(a slog.Attr) bool {
		value := strings.Join(strings.Fields(a.Value.Resolve().String()), " ")
		switch {
		case ofNoUseAtOnce(a.Key) || value == "":
		case a.Key == "project_id" || a.Key == "project":
			if demo := t.demo.Load(); demo != nil && demo.ID.String() == value {
				value = demo.Name
			}
			parts = append(parts, "project "+value)
		case a.Key == "error" || a.Key == "reason" || a.Key == "problem":
			why = append(why, value)
		default:
			rest = append(rest, a.Key+" "+value)
		}
		return true
	}
	for _, a := range t.attrs {
		add(a)
	}
	r.Attrs(add)
	if len(rest) > 0 {
		parts = append(parts, strings.Join(rest, ", "))
	}
	return strings.Join(append(parts, why...), ": ")
}
