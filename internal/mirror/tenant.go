package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/pgdb"
)

// Bounds of a call. It is most efficient from some hundred events on; more than
// that only makes others wait longer for their turn.
const (
	maxCallItems = maxActive // jobs that share a call
	maxCallBytes = 2 << 20   // their events, encoded
	// maxPiece is how many events of one job go into a call: a delivery may hold
	// thousands, all about one user at worst, which apply one after another.
	maxPiece = 500
	// flushBudget is how long a call that fails may be taken apart to find the
	// events that fail alone. It is well below the time that a job has.
	flushBudget    = 8 * time.Second
	installTimeout = 20 * time.Second
	busyDelay      = 2 * time.Second
	connectTimeout = 5 * time.Second
)

const (
	applyEvents = `SELECT ordinal, outcome, coalesce(reason, '') AS reason FROM capydb_auth.apply_events($1::jsonb)`
	applyNext   = `
		SELECT ordinal, outcome, coalesce(reason, '') AS reason, applied_to, change_id
		FROM capydb_auth.apply_next($1::jsonb, $2, $3, $4)`
)

// Result is what became of one event.
type Result struct {
	Outcome string // applied, stale, duplicate, deferred or, without the ledger, unchanged; empty where Err is set
	Reason  string // why it is stale, a duplicate or deferred
	Err     error  // the database's words about this event alone
}

// Deferred gives the first of the results that were put off, as a *DelayError: for those who can only
// try again with all of them. Nil: there is none.
func Deferred(results []Result) error {
	for _, r := range results {
		if r.Outcome == OutcomeDeferred {
			return &DelayError{After: soon(), Err: errors.New(r.Reason)}
		}
	}
	return nil
}

// tenant is the way to one project's mirror: one call at a time.
type tenant struct {
	projectID uuid.UUID
	url       string
	config    Config
	pool      *pgxpool.Pool
	group     *batch.Group[[][]byte, []Result]
	breaker   breaker
	installed atomic.Bool
	missing   atomic.Int64  // since when schema capydb_auth is not there, in nanoseconds; 0: it is
	active    chan struct{} // holds one for each job at work; see Enter
	feed      chan struct{} // holds one for each read of the feed; see queryAll
	// ownerUntil is until when the mirror counts as the project's, in nanoseconds.
	ownerUntil atomic.Int64
	progress   known

	slots int // of Mirrors.places, under its mutex

	turns sync.Mutex
	next  time.Time // when the job that was sent away last comes back
}

func newTenant(ctx context.Context, config Config, projectID uuid.UUID, url string) (*tenant, error) {
	pool, err := config.Tenants.Open(ctx, url, pgdb.Options{
		ApplicationName: "authsync mirror",
		Project:         projectID,
		// One call applies at a time, maxFeed read the feed; one is for people who read.
		MaxConns:        4,
		MaxConnIdleTime: time.Minute,
		ConnectTimeout:  connectTimeout,
		RuntimeParams: map[string]string{
			"statement_timeout": milliseconds(config.CallTimeout),
			"lock_timeout":      milliseconds(config.LockTimeout),
			"search_path":       "pg_catalog, pg_temp", // nothing of the customer's answers to a name of ours
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open the database of project %s: %w", projectID, err)
	}
	l := &tenant{projectID: projectID, url: url, config: config, pool: pool, active: make(chan struct{}, maxActive), feed: make(chan struct{}, maxFeed)}
	l.breaker.now = config.Now
	l.group = batch.New(batch.Config[[][]byte, []Result]{
		Flush:    l.flush,
		Size:     sizeOf,
		MaxItems: maxCallItems,
		MaxBytes: maxCallBytes,
	})
	return l, nil
}

// milliseconds writes a duration as PostgreSQL's settings take it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func sizeOf(docs [][]byte) int {
	size := 0
	for _, d := range docs {
		size += len(d)
	}
	return size
}

func (l *tenant) close(ctx context.Context) error {
	err := l.group.Close(ctx)
	if l.progress.told(true) {
		_, telling := l.ledger().Exchange(ctx, l.projectID, l.progress.get())
		err = errors.Join(err, telling)
	}
	l.pool.Close()
	return err
}

// Apply applies events to the project's mirror, each exactly once, and gives a
// result for each. Its only error is a *DelayError: nothing is wrong with the
// events, none or a part that the ledger knows has been applied, and the same call
// can be repeated at any time.
func (m *Mirrors) Apply(ctx context.Context, projectID uuid.UUID, events []Event) ([]Result, error) {
	l, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, &DelayError{After: soon(), Err: err}
	}
	docs := make([][]byte, len(events))
	for i := range events {
		docs[i] = encode(&events[i])
	}
	results := make([]Result, 0, len(docs))
	for piece := range slices.Chunk(docs, maxPiece) {
		done, err := l.group.Do(ctx, piece)
		var delay *DelayError
		if err != nil && !errors.As(err, &delay) {
			// The lane was closed because its database moved, or we are being stopped.
			err = &DelayError{After: soon(), Err: err}
		}
		if err != nil {
			return nil, err
		}
		results = append(results, done...)
	}
	return results, nil
}

// flush applies the events of several jobs by one call.
func (l *tenant) flush(ctx context.Context, jobs [][][]byte, results []batch.Result[[]Result]) error {
	var docs [][]byte
	for _, job := range jobs {
		docs = append(docs, job...)
	}
	all := make([]Result, len(docs))
	apply := func() error {
		if err := l.install(ctx); err != nil {
			return err
		}
		if err := l.readProgress(ctx); err != nil {
			return err
		}
		f := &flushing{until: time.Now().Add(flushBudget)}
		if err := l.apply(ctx, docs, all, f); err != nil {
			return err
		}
		if !f.succeeded {
			return f.lack
		}
		return nil
	}
	err := apply()
	if ctx.Err() == nil && l.cutOff(err) {
		err = apply()
	}
	if pgdb.Code(err) == CodeLost {
		if err = l.resume(ctx); err == nil {
			err = apply()
		}
	}
	if err != nil {
		return l.delay(ctx, err)
	}
	l.breaker.succeeded()
	for i, job := range jobs {
		results[i].Value, all = all[:len(job):len(job)], all[len(job):]
	}
	return nil
}

// Why events are deferred that the function did not defer itself. Either way each is tried alone later.
const (
	notTakenApart        = "another event of the same batch fails: this one is tried alone"
	contended            = "another transaction in the project's database is in the way"
	reasonOutOfResources = "the project's database says that it lacks the resources for this event, and had them for others"
)

// flushing is what a flush knows, however often it has taken its call apart.
type flushing struct {
	until  time.Time
	intact bool // the mirror is as it was made, so that a call that fails does so for what is in it
	// succeeded: a call did. Otherwise the database lacks something for all (lack, nil: it was not said so), and
	// not for those events that were tried alone, lacking of them.
	succeeded bool
	lack      error
	lacking   int
}

// enoughLacking is how many events are tried alone of a database that says it lacks disk or memory, before
// it is believed.
const enoughLacking = 3

// apply calls apply_events. If the call fails for what is in it, it is repeated
// with each half, until the events that fail alone are found: one bad event never
// fails its neighbours. An error means that the events are not the cause.
func (l *tenant) apply(ctx context.Context, docs [][]byte, results []Result, f *flushing) error {
	err := l.call(ctx, docs, results)
	if err != nil && !delayed(err) && !contends(err) && !f.intact {
		if damage := l.damage(ctx, err); damage != nil {
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
		if len(docs) > 1 {
			break
		}
		if f.lacking++; !f.succeeded && f.lacking >= enoughLacking {
			return err
		}
		results[0] = Result{Outcome: OutcomeDeferred, Reason: reasonOutOfResources + " (" + pgdb.Code(err) + ")"}
		return nil
	case delayed(err):
		if errors.Is(err, errOddAnswer) {
			l.installed.Store(false) // somebody has changed the function: the next call finds out
			err = &installError{err}
		}
		return err
	case len(docs) == 1 && contends(err):
		results[0] = Result{Outcome: OutcomeDeferred, Reason: contended + " (" + pgdb.Code(err) + ")"}
		return nil
	case len(docs) == 1:
		results[0] = Result{Err: err}
		return nil
	}
	if time.Now().After(f.until) {
		for i := range results {
			results[i] = Result{Outcome: OutcomeDeferred, Reason: notTakenApart}
		}
		return nil
	}
	half := len(docs) / 2
	if err := l.apply(ctx, docs[:half], results[:half], f); err != nil {
		return err
	}
	return l.apply(ctx, docs[half:], results[half:], f)
}

func (l *tenant) call(ctx context.Context, docs [][]byte, results []Result) error {
	// The server's statement_timeout comes first; this is for a server that
	// does not answer at all.
	ctx, cancel := context.WithTimeoutCause(ctx, l.config.CallTimeout+5*time.Second, errNoAnswer)
	defer cancel()
	known := l.progress.get()
	clear(results)
	rows, err := l.pool.Query(ctx, applyNext, join(docs), known.Epoch, known.AppliedTo, l.config.Now())
	if err != nil {
		return err
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
	case err != nil && errors.Is(context.Cause(ctx), errNoAnswer):
		return errNoAnswer
	case errors.As(err, &odd):
		return fmt.Errorf("%w: %.200s", errOddAnswer, err.Error())
	case err != nil:
		return err
	case answered != len(docs):
		return fmt.Errorf("%w: for %d of %d events", errOddAnswer, answered, len(docs))
	}
	l.progress.advance(known, l.report)
	return nil
}

var (
	errNoAnswer  = errors.New("the project database does not answer")
	errOddAnswer = errors.New("apply_events answered, but not as it should")
)

// cutOff reports that a connection broke or was ended in the middle of a call. The database may be
// well, so the call is repeated once, at once, by a new connection; what it did by then the ledger knows.
func (l *tenant) cutOff(err error) bool {
	var connect *pgconn.ConnectError
	var ledger *ledgerError
	if err == nil || errors.As(err, &ledger) || errors.Is(err, errNoAnswer) || errors.As(err, &connect) || unusable(err) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.SeverityUnlocalized == "ERROR" || !pgdb.Unavailable(err)) {
		return false
	}
	l.pool.Reset() // the others were of the same server
	l.progress.doubt()
	return true
}

// delay closes the lane for a while if the database is away, and says when to come back.
func (l *tenant) delay(ctx context.Context, err error) error {
	if code := pgdb.Code(err); code == CodeBusy || code == CodeLost || contends(err) {
		return &DelayError{After: soon(), Err: err}
	}
	l.progress.doubt()
	if _, is := errors.AsType[*ledgerError](err); is || ctx.Err() != nil { // we are being stopped, or it is the control database: this one is not to blame
		return &DelayError{After: soon(), Err: err}
	}
	until := l.breaker.failed(err)
	log := l.config.Log.With(slog.String("project_id", l.projectID.String()),
		slog.Time("next_try", until), slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
	if unusable(err) {
		log.WarnContext(ctx, "mirror_unusable")
	} else {
		log.WarnContext(ctx, "project_database_unavailable")
	}
	return &DelayError{After: l.turn(until), Err: err}
}

// soon is when to come back after a moment's trouble: a little later each, so that
// those who were sent away together do not come back together.
func soon() time.Duration { return busyDelay + rand.N(busyDelay/2) }
