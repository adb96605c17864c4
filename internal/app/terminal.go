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

	"github.com/authsync/authsync/internal/project"
)

// terminal writes the warnings of the log that a person should see at once, each as a plain line. What
// repeats itself is written once a minute, with how often it has come; the log has every one.
//
//	10:20:31 warning      mirror unusable: project demo: install the mirror: the schema is damaged: …
type terminal struct {
	*terminalState

	attrs []slog.Attr
}

// terminalState is what a handler shares with those made from it.
type terminalState struct {
	now  func() time.Time
	demo atomic.Pointer[project.Project] // known by its name; others by their ids

	mu   sync.Mutex
	out  io.Writer // nil: nobody is to see anything any more
	said map[string]*saidBefore
}

type saidBefore struct {
	at   time.Time
	more int
}

const (
	// repeatedAfter is how long what was said is not said again.
	repeatedAfter = time.Minute
	// maxSaid bounds what is remembered of it.
	maxSaid = 1000
)

// ofNoUseAtOnce reports attributes that are of use in the log alone.
func ofNoUseAtOnce(key string) bool {
	return slices.Contains([]string{"next_try", "sqlstate", "took", "duration", "attempt", "job_id"}, key)
}

func newTerminal(out io.Writer) *terminal {
	return &terminal{terminalState: &terminalState{now: time.Now, out: out, said: map[string]*saidBefore{}}}
}

// close ends it when the server is told to stop: what is cut off then complains, which is of no concern to a person.
func (t *terminalState) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = nil
}

// Enabled is part of slog.Handler.
func (*terminal) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// WithAttrs is part of slog.Handler.
func (t *terminal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &terminal{terminalState: t.terminalState, attrs: append(slices.Clip(t.attrs), attrs...)}
}

// WithGroup is part of slog.Handler. A person has no use for groups.
func (t *terminal) WithGroup(string) slog.Handler { return t }

// Handle is part of slog.Handler.
func (t *terminal) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "event_failed" { // the line about its message says it
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
		again = fmt.Sprintf(" (%d more times since %s)", before.more, before.at.Local().Format(time.TimeOnly))
	}
	_, err := fmt.Fprintf(t.out, "%s %-12s %s%s\n", now.Local().Format(time.TimeOnly), level, text, again)
	return err
}

// text is what a record says, without its time.
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
