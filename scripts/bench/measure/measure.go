// Package measure measures how much a machine can take, for make bench:
// the road of a webhook from the socket to the row, and from there to a destination, beside
// a plain way of doing the same, on the same PostgreSQL and in the same run. The absolute numbers are the
// machine's; the ratios are authsync's.
//
// It uses a private PostgreSQL server with fsync on, real HTTP over the loopback
// interface, and the receiver, inbox and applier as they are. Load comes from this
// very process: requests are prepared before, so that it costs little, but what it
// costs, both sides pay.
package measure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parts are what there is to measure.
func Parts() []string {
	return []string{"receive", "apply", "backfill", "deliver", "outage", "dashboard", "retention"}
}

// Config says what to measure. The zero value measures everything in about half an hour.
type Config struct {
	// Connections are the numbers of concurrent senders: 16, 64, 256.
	Connections []int
	// Duration is how long each measurement of receiving takes: 3 s.
	Duration time.Duration
	// Rounds is how often each is repeated, in turns with the reference: 3. The median counts.
	Rounds int
	// Events is how many profiles are applied: 40,000.
	Events int
	// Light is how many events are sent one at a time: 100.
	Light int
	// Users are the sizes of accounts that are read: 200,000 and 1,000,000. The dashboard is opened with as many users in
	// the mirror as the largest has: 2,000,000.
	Users []int
	// Changes are how many are delivered at once: 20,000.
	Changes int
	// Waiting are how many deliveries of another project are worked off beside: 50,000.
	Waiting int
	// Steady is how many events are sent at a light load, twenty a second: 900.
	Steady int
	// Inbox, Deliveries and Projects are how many messages and deliveries the large project has while the dashboard is
	// opened, and how many projects there are besides: 10,000,000, 1,000,000 and 100. Retention is measured with as many
	// messages of these projects.
	Inbox, Deliveries, Projects int
	// Repeat is how often each page of the dashboard is opened: 30.
	Repeat int
	// Only restricts the run to one of Parts.
	Only string
	// WAL measures authsync's own runs of apply alone, and where their WAL goes; it needs pg_walinspect.
	WAL bool
	// JSON writes the tables alone, each row as an object.
	JSON bool
	// Log hears of trouble; nil: nobody does.
	Log *slog.Logger

	// mirrored is how many users the mirror has while the dashboard is opened.
	mirrored int
}

// Run measures and writes tables to w. It cleans up after itself, also when ctx ends.
func Run(ctx context.Context, w io.Writer, config Config) (err error) {
	if len(config.Connections) == 0 {
		config.Connections = []int{16, 64, 256}
	}
	config.Duration = cmp.Or(config.Duration, 3*time.Second)
	config.Rounds = cmp.Or(config.Rounds, 3)
	config.Events = cmp.Or(config.Events, 40_000)
	config.Light = cmp.Or(config.Light, 100)
	config.Changes = cmp.Or(config.Changes, 20_000)
	config.Waiting = cmp.Or(config.Waiting, 50_000)
	config.Steady = cmp.Or(config.Steady, 900)
	config.Inbox = cmp.Or(config.Inbox, 10_000_000)
	config.Deliveries = cmp.Or(config.Deliveries, 1_000_000)
	config.Projects = cmp.Or(config.Projects, 100)
	config.Repeat = cmp.Or(config.Repeat, 30)
	config.mirrored = 2_000_000
	if len(config.Users) > 0 {
		config.mirrored = slices.Max(config.Users)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if len(config.Users) == 0 {
		config.Users = []int{200_000, 1_000_000}
	}
	if config.Only != "" && !slices.Contains(Parts(), config.Only) {
		return fmt.Errorf("there is no measurement %q: take one of %s", config.Only, strings.Join(Parts(), ", "))
	}
	if config.JSON {
		w = objects{json.NewEncoder(w)}
	}
	e, err := newEnvironment(ctx, config.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(ctx)) }()
	fmt.Fprintln(w, describeMachine(ctx, e))
	for i, measure := range []func(context.Context, io.Writer, Config) error{e.receiving, e.applying, e.backfilling, e.delivering, e.outages, e.dashboards, e.retaining} {
		if part := Parts()[i]; config.Only == "" || config.Only == part {
			if err := measure(ctx, w, config); err != nil {
				return fmt.Errorf("measure %s: %w", part, err)
			}
		}
	}
	return nil
}

// objects writes tables as JSON, one object a row, and nothing else.
type objects struct{ rows *json.Encoder }

func (objects) Write(p []byte) (int, error) { return len(p), nil }

func (o objects) table(rows [][]string) {
	for _, row := range rows[1:] {
		object := make(map[string]any, len(row))
		for i, cell := range row {
			object[rows[0][i]] = cell
			if n, err := strconv.ParseFloat(cell, 64); err == nil {
				object[rows[0][i]] = n
			}
		}
		if err := o.rows.Encode(object); err != nil {
			fmt.Fprintln(os.Stderr, "bench: write a row:", err)
		}
	}
}

// table writes rows in columns: words to the left, numbers to the right. The first are the headings.
func table(w io.Writer, rows [][]string) {
	if o, ok := w.(objects); ok {
		o.table(rows)
		return
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(w, "  %-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			fmt.Fprintf(w, "  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w)
	}
}
