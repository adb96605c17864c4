package cli

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pause"
)

// followInterval is how often to ask for what is new.
const followInterval = 500 * time.Millisecond

// followAgain is how often to ask a server that does not answer.
const followAgain = time.Second

// followBack is how far to look back each time: commits overlap, so a message
// may appear a moment after a younger one, and outcomes come later still.
const followBack = 15 * time.Second

// eventFollower prints events as their outcomes become known.
type eventFollower struct {
	*session

	client  *client.Client
	project string
	filter  client.EventFilter
	from    time.Time            // events received since then are looked at
	printed map[string]time.Time // received at, by id
}

// followEvents prints the newest events that have come already, at most limit, and then each event
// once its outcome is known, until ctx ends, which is how it is meant to end.
func (s *session) followEvents(ctx context.Context, c *client.Client, project string, f client.EventFilter, limit int) error {
	t := &eventFollower{session: s, client: c, project: project, filter: f, from: s.Now().Add(-followBack), printed: map[string]time.Time{}}
	err := t.begin(ctx, limit)
	if err == nil {
		err = s.notice("Following the events of project %s. Ctrl-C ends it.", project)
	}
	if err == nil {
		err = t.follow(ctx)
	}
	if errors.Is(err, context.Canceled) {
		return nil // Ctrl-C
	}
	return err
}

// begin prints what has come already. What is older than that is not printed later.
func (t *eventFollower) begin(ctx context.Context, limit int) error {
	if !t.json {
		if err := t.printLine(eventTable().head, bold); err != nil {
			return err
		}
	}
	recent := t.filter
	if recent.Since.Before(t.from) {
		recent.Since = t.from
	}
	known, err := t.client.Events(ctx, t.project, recent, 0)
	if err != nil {
		return err
	}
	var events []client.Event
	asked := t.Now()
	if limit > 0 {
		if events, err = t.client.Events(ctx, t.project, t.filter, limit); err != nil {
			return err
		}
	}
	shown := map[string]bool{}
	for _, e := range events {
		shown[e.ID] = true
		if e.Outcome == pending && e.ReceivedAt.Before(t.from) {
			t.from = e.ReceivedAt
		}
	}
	for _, e := range known {
		if !shown[e.ID] && e.Outcome != pending {
			t.printed[e.ID] = e.ReceivedAt
		}
	}
	return t.take(events, asked)
}

// follow prints what becomes known until ctx ends. A server that is unavailable, as while it is restarted, is waited
// for: what came meanwhile is not missed, as the window moves on only when it has answered.
func (t *eventFollower) follow(ctx context.Context) error {
	for away := false; ; {
		interval := followInterval
		err := t.look(ctx)
		switch {
		case err == nil:
			away = false
		case ctx.Err() != nil:
			return ctx.Err()
		case !passes(err):
			return err
		default:
			interval = followAgain
			if !away {
				if err := t.notice("authsync: the server does not answer (%s); trying again every second, Ctrl-C ends it", printable(err.Error())); err != nil {
					return err
				}
			}
			away = true
		}
		if pause.For(ctx, interval) != nil {
			return ctx.Err()
		}
	}
}

// serverError is an error of asking the server, other than one of printing.
type serverError struct{ error }

func (e serverError) Unwrap() error { return e.error }

// passes reports whether an error is the server's being away or in trouble, rather than an answer.
func passes(err error) bool {
	if _, is := errors.AsType[serverError](err); !is {
		return false
	}
	status := client.Status(err)
	return status == 0 || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
}

// look asks once for what is new, and prints it.
func (t *eventFollower) look(ctx context.Context) error {
	f := t.filter
	f.Since = t.from
	asked := t.Now()
	events, err := t.client.Events(ctx, t.project, f, 0)
	if err != nil {
		return serverError{err}
	}
	return t.take(events, asked)
}

// pending is the outcome of an event that has none yet.
const pending = "pending"

// take prints those of the events, newest first, that have an outcome and are not printed yet. They were
// asked for at a time: an answer may take long, and what came meanwhile is not in it.
func (t *eventFollower) take(events []client.Event, asked time.Time) error {
	open := false
	for _, e := range slices.Backward(events) {
		if _, seen := t.printed[e.ID]; seen {
			continue
		}
		if e.Outcome == pending {
			open = true
			continue
		}
		t.printed[e.ID] = e.ReceivedAt
		if err := t.print(e); err != nil {
			return err
		}
	}
	// While something is pending the window stays, so that it is seen when done.
	if next := asked.Add(-followBack); !open && next.After(t.from) {
		t.from = next
		maps.DeleteFunc(t.printed, func(_ string, at time.Time) bool { return at.Before(t.from) })
	}
	return nil
}

func (t *eventFollower) print(e client.Event) error {
	if t.json {
		return json.NewEncoder(t.Out).Encode(e)
	}
	table := eventTable()
	addEvent(&table, e)
	return t.printLine(table.rows[0], "")
}

// printLine prints a row whose columns are as wide as they tend to be: the lines to
// come are not known. On a narrow terminal the reason is on a line of its own.
func (t *eventFollower) printLine(cells []string, style string) error {
	l := layout{widths: []int{8, 15, 11, 14, 32, 9, 0}}
	if width := t.width(); width > 0 {
		l = layout{widths: []int{8, 15, 11, 14, 0, 9}, hangs: true, width: width}
		l.widths[4] = max(width-total(l.widths), narrowest)
	}
	clean := make([]string, len(cells))
	for i, cell := range cells {
		clean[i] = printable(cell)
	}
	paint := t.painter(eventTable().head)
	text := l.line(clean, func(column int, cell string) string {
		if style != "" {
			return t.styled(style, cell)
		}
		return paint(column, cell)
	})
	lines := []string{text}
	if style == "" {
		for _, more := range l.below(clean) {
			lines = append(lines, strings.Repeat(" ", gap)+t.styled(dim, more))
		}
	}
	return t.printf("%s\n", strings.Join(lines, "\n"))
}
