// Package watch notices that something is wrong, and says so: it evaluates conditions, records what it finds as
// problems, and calls the operator's webhooks.
//
//	           found                    still found
//	(no row) ────────▶ open (a row) ─────────────────▶ open, last_seen_at grows
//	                      │
//	                      │ an evaluation does not find it any more
//	                      ▼
//	                   closed; the same condition opens a new row
//
// It stands outside of what it watches. Every process evaluates, whatever its role, so that a missing worker is
// noticed too; a claim in authsync.watch_state makes it one at a time. An evaluation reads the control database only.
// What lies beyond (project databases, providers) is probed by jobs, which leave what they found in authsync.probes: a
// database that does not answer delays its own probe and nothing else. The calls to the operator are rows, written in the
// transaction that opens or closes a problem, and sent by the same loop: without a worker they must leave as well.
//
// If the process dies during an evaluation, the claim ends after a minute and another process evaluates. A condition that
// cannot be evaluated neither opens nor closes anything; that it cannot is a problem of its own (not_evaluated).
//
// Package doctor prints the same conditions: each is defined here once, as a function that returns findings.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/redact"
)

const (
	// Every is the pause between two evaluations.
	Every = 30 * time.Second
	// claimFor is how long a process may take; then another one evaluates.
	claimFor = time.Minute
	// pausedFor is how long nobody may have evaluated for the evaluation to go on as if nothing had been missed.
	pausedFor = 3 * time.Minute
	// patience bounds one condition, so that a slow one does not delay the others.
	patience = 10 * time.Second
	// maxFindings is how many findings of a condition become problems.
	maxFindings = 1000
	// keepFor is how long closed problems are kept.
	keepFor = 90 * 24 * time.Hour
)

// Severities of a finding.
const (
	Failed  = "failed"  // something does not work
	Warning = "warning" // it soon may not
)

// Finding is something wrong, found by a condition.
type Finding struct {
	Kind      string
	ProjectID *uuid.UUID // nil: the whole server
	// Subject has it within the project or server, such as a provider; empty: the project or server itself.
	Subject  string
	Severity string // empty: Failed
	// Detail is what is wrong, Next what to do, preferably a command; both for people.
	Detail, Next string
	// Minor means that doctor prints it, but it opens no problem: it may be temporary, or anybody can cause it.
	Minor bool
}

// Config configures a Watcher.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Log  *slog.Logger
	// Targets are where openings and closings are announced, and Client sends to them; none: nowhere.
	Targets []Target
	Client  *http.Client
	// SizeLimit is how large the control database may become, in bytes; 0: as large as it gets.
	SizeLimit int64
	// Now is the clock of conditions, Clock the machine's, which is compared with the database's; nil means time.Now.
	Now, Clock func() time.Time
	// Every is the pause between two evaluations; 0 means Every.
	Every time.Duration
	// Counted is called after each round with how many problems of each kind are open; it may be nil.
	Counted func(map[string]int)
}

// Watcher evaluates conditions. It is safe for concurrent use.
type Watcher struct {
	config  Config
	targets []string // the names of Config.Targets
}

// New returns a Watcher; call Run.
func New(config Config) *Watcher {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Every == 0 {
		config.Every = Every
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{config: config, targets: []string{}}
	for _, t := range config.Targets {
		w.targets = append(w.targets, t.name())
	}
	return w
}

// Run evaluates and calls until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.config.Every)
	defer tick.Stop()
	for {
		w.round(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// round is one evaluation, if no other process does it, and the calls that are due.
func (w *Watcher) round(ctx context.Context) {
	if _, err := w.Evaluate(ctx); err != nil && ctx.Err() == nil {
		w.config.Log.WarnContext(ctx, "problems_not_evaluated", slog.Any("error", err))
	}
	if err := w.Call(ctx); err != nil && ctx.Err() == nil {
		w.config.Log.WarnContext(ctx, "operator_not_called", slog.Any("error", err))
	}
	if w.config.Counted == nil {
		return
	}
	counts, err := Counts(ctx, w.config.Pool)
	if err != nil {
		if ctx.Err() == nil {
			w.config.Log.WarnContext(ctx, "problems_not_counted", slog.Any("error", err))
		}
		return
	}
	w.config.Counted(counts)
}

const (
	claim = `
		UPDATE authsync.watch_state AS s
		SET claimed_until = $1::timestamptz + $2::interval,
		    resumed_at = CASE WHEN s.evaluated_at >= $1::timestamptz - $3::interval THEN s.resumed_at ELSE $1 END
		WHERE s.claimed_until <= $1
		RETURNING s.resumed_at`
	// What is left of the claim keeps the processes from evaluating more often than Every.
	endClaim = `UPDATE authsync.watch_state AS s SET claimed_until = $1::timestamptz + $2::interval, evaluated_at = $1`
)

// Evaluate evaluates all conditions and records what they find, unless another process does or has just done so.
func (w *Watcher) Evaluate(ctx context.Context) (evaluated bool, err error) {
	now := w.config.Now()
	var resumed time.Time
	switch err := w.config.Pool.QueryRow(ctx, claim, now, claimFor, pausedFor).Scan(&resumed); {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("claim the evaluation: %w", err)
	}
	l := &Look{Pool: w.config.Pool, Now: now, resumed: resumed, SizeLimit: w.config.SizeLimit, clock: w.config.Clock}
	var unknown []Finding
	var errs []error
	for _, c := range conditions() {
		found, err := c.evaluate(ctx, l)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err == nil {
			err = w.record(ctx, c.kinds, found, now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("evaluate %s: %w", c.kinds[0], err))
			unknown = append(unknown, Finding{
				Kind: NotEvaluated, Subject: c.kinds[0],
				Detail: fmt.Sprintf("whether there is a problem of the kind %s could not be found out: %s", c.kinds[0], pgdb.Describe(err)),
				Next:   "see problems_not_evaluated in the log of the servers",
			})
		}
	}
	errs = append(errs, w.record(ctx, []string{NotEvaluated}, unknown, now), w.prune(ctx, now))
	if _, err := w.config.Pool.Exec(ctx, endClaim, now, w.config.Every/2); err != nil {
		errs = append(errs, fmt.Errorf("end the evaluation: %w", err))
	}
	return true, errors.Join(errs...)
}

// evaluate bounds a condition.
func (c *condition) evaluate(ctx context.Context, l *Look) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.look(ctx, l)
}

// transition is a problem that was opened or closed.
type transition struct {
	ProblemID int64
	Event     string
}

const recordProblems = `SELECT problem_id, event FROM authsync.record_problems($1, $2::jsonb, $3, $4)`

// record opens and closes problems of the kinds.
func (w *Watcher) record(ctx context.Context, kinds []string, found []Finding, now time.Time) error {
	type row struct {
		Kind      string     `json:"kind"`
		ProjectID *uuid.UUID `json:"project_id"`
		Subject   string     `json:"subject"`
		Severity  string     `json:"severity"`
		Detail    string     `json:"detail"`
		Next      string     `json:"next_step"`
	}
	rows := []row{}
	for _, f := range found {
		if f.Minor || len(rows) == maxFindings {
			continue
		}
		if f.Severity == "" {
			f.Severity = Failed
		}
		rows = append(rows, row{f.Kind, f.ProjectID, f.Subject, f.Severity, line(f.Detail), line(f.Next)})
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode findings: %w", err)
	}
	all, err := pgdb.Collect[transition](ctx, w.config.Pool, recordProblems, kinds, text, w.targets, now)
	if err != nil {
		return fmt.Errorf("record problems: %w", err)
	}
	for _, t := range all {
		log := w.config.Log.With(slog.Int64("problem_id", t.ProblemID), slog.Any("kinds", kinds))
		if t.Event == StateClosed {
			log.InfoContext(ctx, "problem_closed")
		} else {
			log.WarnContext(ctx, "problem_opened")
		}
	}
	return nil
}

// maxLine bounds a text of a finding, which may quote what a database or provider answered.
const maxLine = 1000

// line makes a text one line, without addresses of e-mail, that a text column takes.
func line(text string) string {
	text = redact.Line(strings.ReplaceAll(text, "\x00", "\uFFFD"))
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}

const pruneProblems = `
	DELETE FROM authsync.problems
	WHERE id IN (SELECT p.id FROM authsync.problems AS p WHERE p.closed_at < $1 ORDER BY p.closed_at LIMIT 1000)`

func (w *Watcher) prune(ctx context.Context, now time.Time) error {
	if _, err := w.config.Pool.Exec(ctx, pruneProblems, now.Add(-keepFor)); err != nil {
		return fmt.Errorf("prune problems: %w", err)
	}
	return nil
}
