package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// ErrFindingsGone means that a reconcile's findings are gone, because the
// project's database has crashed: the run begins anew.
var ErrFindingsGone = errors.New("what the reconcile had found is gone: the project's database has crashed meanwhile")

// The states of a finding in capydb_auth.reconcile_findings.
const (
	StateNone     = "none"     // nothing to do
	StateFound    = "found"    // it differs for certain
	StateRepaired = "repaired" // it differed
	StateFailed   = "failed"   // it differs and could not be repaired
	StateRecent   = "recent"   // the mirror has heard of something that the answer may not know: nothing was done
)

// Reconcile is the findings of a run in the project's database, from which the
// run goes on after an interruption. All methods return ErrFindingsGone, or a
// *tenantdb.DelayError while the database is unavailable.
type Reconcile struct {
	mirrors   *Mirrors
	projectID uuid.UUID
	runID     uuid.UUID
	provider  string
}

// Reconcile gives access to the findings of a run.
func (m *Mirrors) Reconcile(projectID, runID uuid.UUID, provider string) *Reconcile {
	return &Reconcile{m, projectID, runID, provider}
}

func (r *Reconcile) query(ctx context.Context, do func(context.Context, *tenant) error) error {
	err := r.mirrors.query(ctx, r.projectID, do)
	if pgdb.Code(err) == CodeFindingsGone {
		return ErrFindingsGone
	}
	return err
}

// exec runs a statement whose first arguments are the run and the provider.
func (r *Reconcile) exec(ctx context.Context, sql string, args ...any) error {
	return r.query(ctx, func(ctx context.Context, t *tenant) error {
		_, err := t.pool.Exec(ctx, sql, append([]any{r.runID, r.provider}, args...)...)
		return err
	})
}

// Begin forgets earlier findings, those of this run included.
func (r *Reconcile) Begin(ctx context.Context) error {
	if err := r.forget(ctx, nil); err != nil {
		return err
	}
	return r.exec(ctx, `SELECT capydb_auth.reconcile_begin($1, $2)`)
}

// forgetAt is how many findings are forgotten by one call.
const forgetAt = 50_000

// forget forgets the findings of a run, or of all runs of the provider.
func (r *Reconcile) forget(ctx context.Context, runID *uuid.UUID) error {
	for forgotten := int64(1); forgotten > 0; {
		err := r.query(ctx, func(ctx context.Context, t *tenant) error {
			return t.pool.QueryRow(ctx, `SELECT capydb_auth.reconcile_forget($1, $2, $3)`, r.provider, runID, forgetAt).Scan(&forgotten)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const reconcilePage = `
	SELECT ordinal, finding, columns, tolerated, is_open
	FROM capydb_auth.reconcile_page($42, $43, $46, ` + eventArray + `, $44::jsonb, $45)
	ORDER BY ordinal`

// Page compares a page of the provider's records of one type with the mirror, notes what it
// finds, and gives those that are not equal, or of which something is tolerated. whole means that the objects hold all that
// the provider knows.
func (r *Reconcile) Page(
	ctx context.Context, t record.Type, events []Event, rules provider.Comparison, whole bool,
) (findings []Finding, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	err = r.query(ctx, func(ctx context.Context, l *tenant) error {
		findings, err = findingsOf(l.pool.Query(ctx, reconcilePage, append(eventArgs(pointers(events)), r.runID, r.provider, rules, whole, t)...))
		return err
	})
	return findings, err
}

// Search says which records of the mirror are looked at.
type Search struct {
	Type record.Type
	// Begun is when the walk began: what is newer it could not know.
	Begun time.Time
	// Placeholders are noted, too, if the type has them.
	Placeholders bool
	// After is the id that the last call gave; empty at first.
	After string
	Limit int
}

// reconcileOrphaned returns the statement and its arguments behind the run and the provider.
func reconcileOrphaned(d record.Definition, s Search) (query string, args []any, err error) {
	args = []any{s.Begun}
	if d.Placeholders {
		args = append(args, s.Placeholders)
	}
	after := make([]any, len(d.Key))
	for i := range after {
		after[i] = ""
	}
	if s.After != "" {
		key, ok := keyOf(d, s.After)
		if !ok {
			return "", nil, fmt.Errorf("no %s has the id %q", d.Type, s.After)
		}
		after = key
	}
	args = append(append(args, after...), s.Limit)
	numbered := make([]string, len(args))
	for i := range args {
		numbered[i] = fmt.Sprintf("$%d", i+3)
	}
	return "SELECT coalesce(last_id, ''), records FROM capydb_auth.reconcile_orphaned_" + d.Table + "($1, $2, " + strings.Join(numbered, ", ") + ")", args, nil
}

// Orphaned looks at some records of the mirror for those that the walk did not meet, and notes them.
// It gives the id to go on behind, empty at the end, and how many of those it has looked at are live
// records of the provider that the mirror had before the run.
func (r *Reconcile) Orphaned(ctx context.Context, s Search) (last string, records int64, err error) {
	d, err := listedType(s.Type)
	if err != nil {
		return "", 0, err
	}
	query, args, err := reconcileOrphaned(d, s)
	if err != nil {
		return "", 0, err
	}
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		return t.pool.QueryRow(ctx, query, append([]any{r.runID, r.provider}, args...)...).Scan(&last, &records)
	})
	return last, records, err
}

// Open is a record to be read from the provider.
type Open struct {
	RecordID string
	Finding  string // what is assumed until then
}

const selectOpen = `
	SELECT f.record_id, f.finding
	FROM capydb_auth.reconcile_findings AS f
	WHERE f.run_id = $1 AND f.provider = $2 AND f.record_type = $3
	  AND (f.state = 'open' OR ($4 AND f.state = 'found'))
	  AND ($5 OR f.finding NOT IN ('orphaned', 'placeholder'))
	ORDER BY f.record_id
	LIMIT $6`

// Choice says which of the open records of a type are meant.
type Choice struct {
	Type record.Type
	// Found includes those that differ for certain but are not repaired, as after an interruption.
	Found bool
	// Orphaned includes orphaned records and placeholders.
	Orphaned bool
	Limit    int
}

// Open returns some records to be read from the provider.
func (r *Reconcile) Open(ctx context.Context, c Choice) (open []Open, err error) {
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		// In one transaction, so that a run whose findings are gone is not taken for one that has none.
		return pgdb.InTx(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT capydb_auth.require_reconcile($1, $2)`, r.runID, r.provider); err != nil {
				return err
			}
			open, err = collect[Open](ctx, tx, selectOpen, planned, r.runID, r.provider, c.Type, c.Found, c.Orphaned, c.Limit)
			return err
		})
	})
	return open, err
}

// Settled is what was found out about a record, or what happened to it.
type Settled struct {
	RecordID string   `json:"record_id"`
	State    string   `json:"state"`
	Finding  string   `json:"finding,omitempty"`
	Columns  []string `json:"columns,omitempty"`
}

// Settle notes what was found out about records of a type, or what happened to them.
func (r *Reconcile) Settle(ctx context.Context, t record.Type, records []Settled) error {
	if len(records) == 0 {
		return nil
	}
	doc, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("encode what was found: %w", err)
	}
	return r.exec(ctx, `SELECT capydb_auth.reconcile_settle($1, $2, $3, $4::jsonb)`, t, doc)
}

// Tally is how many records have the same finding and state.
type Tally struct {
	Finding, State string
	Records        int64
}

// Drifted is a record that differs, or differed.
type Drifted struct {
	RecordID string   `json:"record_id"`
	Finding  string   `json:"finding"`
	Columns  []string `json:"columns"`
	State    string   `json:"state"` // found, repaired, failed; open: the provider was not asked
}

// Totals are the findings of a run about the records of a type as numbers.
type Totals struct {
	Met     int64            // those that the walk has met
	Tallies []Tally          // of those that are not equal
	Columns map[string]int64 // of those that differ: how many in which column
	Drifted []Drifted        // the first of them
}

const (
	selectTallies = `
		SELECT f.finding, f.state, count(*) AS records
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.record_type = $3 AND f.state <> 'none'
		GROUP BY f.finding, f.state`

	selectColumns = `
		SELECT c.name, count(*)
		FROM capydb_auth.reconcile_findings AS f
		CROSS JOIN unnest(f.columns) AS c (name)
		WHERE f.run_id = $1 AND f.provider = $2 AND f.record_type = $3 AND f.state <> 'none' AND f.state <> 'recent' AND f.finding <> 'unreported'
		GROUP BY c.name`

	selectDrifted = `
		SELECT f.record_id, f.finding, f.columns, f.state
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.record_type = $3 AND f.state <> 'none' AND f.state <> 'recent' AND f.finding <> 'unreported'
		ORDER BY f.record_id
		LIMIT $4`

	countMet = `
		SELECT count(*)
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.record_type = $3 AND f.finding NOT IN ('orphaned', 'placeholder')`
)

// Totals counts the findings about the records of a type, and gives up to limit that are not equal.
func (r *Reconcile) Totals(ctx context.Context, of record.Type, limit int) (totals Totals, err error) {
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
		return pgx.BeginTxFunc(ctx, t.pool, options, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT capydb_auth.require_reconcile($1, $2)`, r.runID, r.provider); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, countMet, r.runID, r.provider, of).Scan(&totals.Met); err != nil {
				return err
			}
			if totals.Tallies, err = collect[Tally](ctx, tx, selectTallies, r.runID, r.provider, of); err != nil {
				return err
			}
			if totals.Drifted, err = collect[Drifted](ctx, tx, selectDrifted, r.runID, r.provider, of, limit); err != nil {
				return err
			}
			totals.Columns = make(map[string]int64)
			rows, err := tx.Query(ctx, selectColumns, r.runID, r.provider, of)
			if err != nil {
				return err
			}
			var name string
			var records int64
			_, err = pgx.ForEachRow(rows, []any{&name, &records}, func() error {
				totals.Columns[name] = records
				return nil
			})
			return err
		})
	})
	return totals, err
}

// End forgets the findings. Those of a run that never comes to this are forgotten
// when the next one begins.
func (r *Reconcile) End(ctx context.Context) error { return r.forget(ctx, &r.runID) }
