package measure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// applied is what a measurement of applying gave.
type applied struct {
	what   string
	events int
	took   time.Duration
	cost   cost
	wal    []walPart // by part; only where Config.WAL asks for it
}

func (a *applied) rate() float64 { return float64(a.events) / a.took.Seconds() }

// run measures twice: with as many new users as events, and with a change of each.
type run struct {
	what    string
	events  int
	measure func(ctx context.Context, events plan) (applied, error)
	newOnly bool
	// isReference: it is not authsync's.
	isReference bool
}

func (a *applyBench) runs(c Config) []run {
	few := max(c.Events/8, 1) // these are slow
	runs := []run{{what: "reference: one job and one call an event, backlog", events: few, newOnly: true, isReference: true, measure: a.backlogFor(manySenders, a.startSingle)}}
	for _, senders := range []int{manySenders, fewSenders} {
		runs = append(runs, run{what: fmt.Sprintf("authsync: backlog of %d senders", senders), events: c.Events, measure: a.backlogFor(senders, a.startApplier)})
	}
	for _, senders := range []int{manySenders, fewSenders} {
		runs = append(runs,
			run{what: fmt.Sprintf("reference: a handler that upserts the row, %d senders", senders), events: c.Events, isReference: true, measure: a.requests(senders, a.upsert, nil)},
			run{what: fmt.Sprintf("authsync: from the request to the row, %d senders", senders), events: c.Events, measure: a.requests(senders, a.receiver.handler, a.startApplier)})
	}
	return runs
}

// measureRun measures new users, and then a change of each.
func (a *applyBench) measureRun(ctx context.Context, r run) (results []applied, err error) {
	if err := a.restart(ctx); err != nil {
		return nil, err
	}
	events := plan{requests: int64(r.events)}
	for _, kind := range []string{"new", "updates"} {
		// Changes carry later clocks.
		if a.template, err = a.newTemplate(a.path()); err != nil {
			return nil, err
		}
		result, err := r.measure(ctx, events)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", r.what, kind, err)
		}
		result.what, result.events = r.what+", "+kind, r.events
		if a.readsWAL {
			if result.wal, err = a.walParts(ctx, result.cost.walFrom, result.cost.walFrom+result.cost.wal); err != nil {
				return nil, err
			}
		}
		results = append(results, result)
		if r.newOnly {
			break
		}
		events.first, events.again = events.requests, events.requests
	}
	return results, nil
}

// starter starts some workers on what is in the inbox.
type starter func(ctx context.Context) (stop func() error, err error)

// backlogFor stores events while no worker runs, then measures how they become rows.
func (a *applyBench) backlogFor(senders int, start starter) func(context.Context, plan) (applied, error) {
	return func(ctx context.Context, p plan) (applied, error) {
		p.connections = senders
		if err := a.send(ctx, a.receiver.handler, p); err != nil {
			return applied{}, err
		}
		return a.timed(ctx, p, start, func() error { return nil })
	}
}

// requests measures events that are sent as fast as they are taken, until the last one is a row.
func (a *applyBench) requests(senders int, handler http.Handler, start starter) func(context.Context, plan) (applied, error) {
	return func(ctx context.Context, p plan) (applied, error) {
		p.connections = senders
		return a.timed(ctx, p, start, func() error { return a.send(ctx, handler, p) })
	}
}

// timed measures work, and the workers if there are some, until there are as many changes as events.
func (a *applyBench) timed(ctx context.Context, p plan, start starter, work func() error) (result applied, err error) {
	// Pages that change for the first time are in the WAL as a whole: both kinds pay for that.
	if _, err := a.pool.Exec(ctx, `CHECKPOINT`); err != nil {
		return applied{}, fmt.Errorf("checkpoint: %w", err)
	}
	given, err := a.changesGiven(ctx)
	if err != nil {
		return applied{}, err
	}
	var stop func() error
	defer func() {
		if stop != nil {
			err = errors.Join(err, stop())
		}
	}()
	result.cost, err = a.spent(ctx, func() (err error) {
		begun := time.Now()
		if start != nil {
			if stop, err = start(ctx); err != nil {
				return err
			}
		}
		if err := work(); err != nil || start == nil {
			result.took = time.Since(begun)
			return err
		}
		err = a.awaitChange(ctx, given+p.requests, int(p.requests))
		result.took = time.Since(begun)
		return errors.Join(err, a.awaitOutcomes(ctx))
	})
	return result, err
}

// send posts events to a server of its own.
func (a *applyBench) send(ctx context.Context, handler http.Handler, p plan) error {
	address, stop, err := serve(ctx, handler)
	if err != nil {
		return err
	}
	defer stop()
	_, err = generate(ctx, address, a.template, p)
	return err
}

// changesGiven is the last id of a change that was given, of those that were truncated, too.
func (a *applyBench) changesGiven(ctx context.Context) (id int64, err error) {
	err = a.users.QueryRow(ctx, `SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass), 0)`).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("look for changes: %w", err)
	}
	return id, nil
}

// awaitChange waits until a change is there. The more there is to do, the less often it looks, so that
// looking stays cheap beside the work.
func (a *applyBench) awaitChange(ctx context.Context, id int64, events int) error {
	return await(ctx, 2*time.Millisecond+time.Duration(min(events, 20_000))*time.Microsecond, "the rows did not appear in time", func() (there bool, err error) {
		err = a.users.QueryRow(ctx, `SELECT coalesce(max(id), 0) >= $1 FROM capydb_auth.changes`, id).Scan(&there)
		return there, err
	})
}

// awaitOutcomes waits until nothing is left to be applied or recorded.
func (a *applyBench) awaitOutcomes(ctx context.Context) error {
	return await(ctx, lookEvery, "the outcomes were not recorded in time", func() (settled bool, err error) {
		err = a.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM authsync.inbox_pending) AND NOT EXISTS (SELECT FROM authsync.river_job WHERE kind = 'bench_apply_one' AND state <> 'completed') AS settled`).Scan(&settled)
		return settled, err
	})
}

// lightLoad sends one event at a time and looks for its row from the moment of the answer.
func (a *applyBench) lightLoad(ctx context.Context, events int) (l load, err error) {
	if err := a.restart(ctx); err != nil {
		return load{}, err
	}
	stop, err := a.startApplier(ctx)
	if err != nil {
		return load{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	address, closeServer, err := serve(ctx, a.receiver.handler)
	if err != nil {
		return load{}, err
	}
	defer closeServer()
	given, err := a.changesGiven(ctx)
	if err != nil {
		return load{}, err
	}
	pause := time.NewTicker(lightPause)
	defer pause.Stop()
	for n := range int64(events) {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return load{}, ctx.Err()
		}
		if _, err := generate(ctx, address, a.template, plan{connections: 1, requests: 1, first: n}); err != nil {
			return load{}, err
		}
		answered := time.Now()
		if err := a.awaitChange(ctx, given+n+1, 1); err != nil {
			return load{}, err
		}
		l.latencies = append(l.latencies, time.Since(answered))
	}
	l.sort()
	return l, nil
}

// appliedRows is the table of the results.
func appliedRows(results []applied) [][]string {
	rows := [][]string{{"what", "events/s", "CPU us/event", "process", "mirror", "control", "server", "WAL B/event"}}
	for _, r := range results {
		row := []string{r.what, fmt.Sprintf("%.0f", r.rate())}
		for _, d := range []time.Duration{r.cost.cpu(), r.cost.process, r.cost.mirrors, r.cost.control, r.cost.server} {
			row = append(row, strconv.FormatInt(d.Microseconds()/int64(r.events), 10))
		}
		rows = append(rows, append(row, strconv.FormatInt(r.cost.wal/int64(r.events), 10)))
	}
	return rows
}
