package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Bounds of a call. It is most efficient from some hundred events on; more than
// that only makes others wait longer for their turn.
const (
	maxCallItems = tenantdb.MaxActive // jobs that share a call
	maxCallBytes = 2 << 20            // their events
	// maxPiece is how many events of one job go into a call: a delivery may hold
	// thousands, all about one user at worst, which apply one after another.
	maxPiece    = 500
	flushBudget = 8 * time.Second // well below the time that a job has
)

const (
	applyEvents = `SELECT ordinal, outcome, coalesce(reason, '') AS reason FROM capydb_auth.apply_events(` + eventArray + `)`
	applyNext   = `
		SELECT ordinal, outcome, coalesce(reason, '') AS reason, applied_to, change_id
		FROM capydb_auth.apply_next(` + eventArray + `, $42, $43, $44, $45)`
)

// Result is the outcome of one event.
type Result struct {
	Outcome string // applied, stale, duplicate, deferred, erased or, without the ledger, unchanged; empty where Err is set
	Reason  string // why it is stale, a duplicate or deferred
	Err     error  // the database's error about this event alone
}

// Deferred gives the first deferred result as a *tenantdb.DelayError, for callers that can only retry all of them. Nil: there
// is none.
func Deferred(results []Result) error {
	for _, r := range results {
		if r.Outcome == OutcomeDeferred {
			return tenantdb.Delay(errors.New(r.Reason))
		}
	}
	return nil
}

// Apply applies events to the project's mirror, each exactly once, and gives a
// result for each. Its only error is a *tenantdb.DelayError: nothing is wrong with the
// events, none or a part that the ledger knows has been applied, and the same call
// can be repeated at any time.
func (m *Mirrors) Apply(ctx context.Context, projectID uuid.UUID, events []Event) ([]Result, error) {
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, tenantdb.Delay(err)
	}
	results := make([]Result, 0, len(events))
	for piece := range slices.Chunk(pointers(events), maxPiece) {
		done, err := t.group.Do(ctx, piece)
		var delay *tenantdb.DelayError
		if err != nil && !errors.As(err, &delay) {
			// The database has moved, or the process is being stopped.
			err = tenantdb.Delay(err)
		}
		if err != nil {
			return nil, err
		}
		results = append(results, done...)
	}
	return results, nil
}

// flush applies the events of several jobs by one call.
func (t *tenant) flush(ctx context.Context, jobs [][]*Event, results []batch.Result[[]Result]) error {
	var events []*Event
	for _, job := range jobs {
		events = append(events, job...)
	}
	all := make([]Result, len(events))
	apply := func() error {
		if err := t.install(ctx); err != nil {
			return err
		}
		if err := t.readProgress(ctx); err != nil {
			return err
		}
		f := &flushing{until: t.config.Now().Add(t.config.FlushBudget)}
		if err := t.applyAll(ctx, events, all, f); err != nil {
			return err
		}
		if !f.succeeded {
			return f.lack
		}
		return t.announce(ctx)
	}
	err := apply()
	if ctx.Err() == nil && t.cutOff(err) {
		err = apply()
	}
	if pgdb.Code(err) == CodeLost {
		if err = t.resume(ctx); err == nil {
			err = apply()
		}
	}
	if err != nil {
		return t.delay(ctx, err)
	}
	t.db.Succeeded()
	for i, job := range jobs {
		results[i].Value, all = all[:len(job):len(job)], all[len(job):]
	}
	return nil
}

// Why events are deferred that the function did not defer itself. Either way each is tried alone later.
const (
	notTakenApart        = "another event of the same batch fails: this one is tried alone"
	contended            = "another transaction in the project's database is in the way"
	reasonOutOfResources = "the project's database lacks the resources for this event, but had them for others"
)

// flushing is what a flush knows, however often it has taken its call apart.
type flushing struct {
	until  time.Time
	intact bool // the mirror is as it was made, so that a call that fails does so for what is in it
	// succeeded: a call did. Otherwise the database lacks something for all (lack; nil: it reported nothing), and
	// not for those events that were tried alone, lacking of them.
	succeeded bool
	lack      error
	lacking   int
	slow      bool // a call took too long: see slow.go
}

// enoughLacking is how many events are tried alone on a database that reports a lack of disk or memory before
// it is believed.
const enoughLacking = 3

// apply calls apply_events. If the call fails for what is in it, it is repeated
// with each half, until the events that fail alone are found: one bad event never
// fails its neighbours. A call that took too long is repeated with many more parts, since each
// that has the slow event takes as long. An error means that the events are not the cause.
func (t *tenant) apply(ctx context.Context, events []*Event, results []Result, f *flushing) error {
	err := t.call(ctx, events, results, f)
	if tookTooLong(err) {
		t.slow(f)
	}
	if err != nil && !delayed(err) && !contends(err) && !f.intact {
		if damage := t.damage(ctx, err); damage != nil {
			return damage
		}
		f.intact = true
	}
	switch {
	case err == nil:
		f.succeeded = true
		return nil
	case lacks(err):
		f.lack = err
		if len(events) > 1 {
			break
		}
		if f.lacking++; !f.succeeded && f.lacking >= enoughLacking {
			return err
		}
		results[0] = Result{Outcome: OutcomeDeferred, Reason: reasonOutOfResources + " (" + pgdb.Code(err) + ")"}
		return nil
	case delayed(err):
		if errors.Is(err, errOddAnswer) {
			t.installed.Store(false) // somebody has changed the function: the next call finds out
			err = &installError{err}
		}
		return err
	case len(events) == 1 && contends(err):
		results[0] = Result{Outcome: OutcomeDeferred, Reason: contended + " (" + pgdb.Code(err) + ")"}
		return nil
	case len(events) == 1:
		results[0] = Result{Err: err}
		return nil
	}
	parts := 2
	if f.slow {
		parts = slowParts
	}
	for size := (len(events) + parts - 1) / parts; len(events) > 0; {
		if t.config.Now().After(f.until) {
			deferAll(results)
			return nil
		}
		size = min(size, len(events))
		if err := t.apply(ctx, events[:size], results[:size], f); err != nil {
			return err
		}
		events, results = events[size:], results[size:]
	}
	return nil
}

// deferAll leaves events to be tried alone.
func deferAll(results []Result) {
	for i := range results {
		results[i] = Result{Outcome: OutcomeDeferred, Reason: notTakenApart}
	}
}

func (t *tenant) call(ctx context.Context, events []*Event, results []Result, f *flushing) error {
	ctx, cancel := t.db.Bound(ctx)
	defer cancel()
	known := t.progress.get()
	apply := func(db querier) (err error) {
		known, err = t.applyNext(ctx, db, known, events, results)
		return err
	}
	var err error
	if limit, limited := t.limit(events, f); limited {
		err = pgdb.InTx(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, strconv.FormatInt(limit.Milliseconds(), 10)); err != nil {
				return err
			}
			return apply(tx)
		})
	} else {
		err = apply(t.pool)
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), tenantdb.ErrNoAnswer):
		return tenantdb.ErrNoAnswer
	case err != nil:
		return err
	}
	t.progress.advance(known, t.report)
	return nil
}

// applyNext runs the function, and returns how far the mirror is once that is committed.
func (t *tenant) applyNext(ctx context.Context, db querier, known Progress, events []*Event, results []Result) (Progress, error) {
	clear(results)
	rows, err := db.Query(ctx, applyNext, append(eventArgs(events), known.Epoch, known.AppliedTo, t.config.Now(), t.erasureKey(ctx))...)
	if err != nil {
		return known, err
	}
	var (
		ordinal         int
		outcome, reason string
		answered        int
	)
	_, err = pgx.ForEachRow(rows, []any{&ordinal, &outcome, &reason, &known.AppliedTo, &known.ChangeID}, func() error {
		if ordinal < 0 || ordinal >= len(results) {
			return fmt.Errorf("%w: for event %d of %d", errOddAnswer, ordinal, len(results))
		}
		if !isOutcome(outcome) || results[ordinal].Outcome != "" {
			return fmt.Errorf("%w: event %d is %.20q", errOddAnswer, ordinal, outcome)
		}
		results[ordinal] = Result{Outcome: outcome, Reason: pgdb.Cut(reason)}
		answered++
		return nil
	})
	var odd pgx.ScanArgError
	switch {
	case errors.As(err, &odd):
		return known, fmt.Errorf("%w: %.200s", errOddAnswer, err.Error())
	case err == nil && answered != len(events):
		return known, fmt.Errorf("%w: for %d of %d events", errOddAnswer, answered, len(events))
	}
	return known, err
}

var errOddAnswer = errors.New("apply_events answered, but not as it should")
