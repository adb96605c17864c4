package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
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
)

// Reconcile is the findings of a run in the project's database, from which the
// run goes on after an interruption. All methods return ErrFindingsGone, or a
// *tenantdb.DelayError while the database is away.
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
	FROM capydb_auth.reconcile_page($42, $43, ` + eventArray + `, $44::jsonb, $45)
	ORDER BY ordinal`

// Page compares a page of the provider's users with the mirror, notes what it
// finds, and gives those that are not equal, or of whom something is tolerated. whole means that the objects hold all that
// the provider knows.
func (r *Reconcile) Page(ctx context.Context, events []Event, rules provider.Comparison, whole bool) (findings []Finding, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		findings, err = findingsOf(t.pool.Query(ctx, reconcilePage, append(eventArgs(pointers(events)), r.runID, r.provider, rules, whole)...))
		return err
	})
	return findings, err
}

const reconcileOrphaned = `SELECT coalesce(last_id, ''), users FROM capydb_auth.reconcile_orphaned($1, $2, $3, $4, $5, $6)`

// Orphaned looks at limit users behind one for those that the walk, which began
// at begun, did not meet, and notes them; placeholders too, if told to. It gives the
// id to go on behind, empty at the end, and how many of those it has looked at are live
// users of the provider whom the mirror had before the run.
func (r *Reconcile) Orphaned(
	ctx context.Context, begun time.Time, placeholders bool, after string, limit int,
) (last string, users int64, err error) {
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		return t.pool.QueryRow(ctx, reconcileOrphaned, r.runID, r.provider, begun, placeholders, after, limit).Scan(&last, &users)
	})
	return last, users, err
}

// Open is a user to be read from the provider.
type Open struct {
	UserID  string
	Finding string // what is assumed until then
}

const selectOpen = `
	SELECT f.user_id, f.finding
	FROM capydb_auth.reconcile_findings AS f
	WHERE f.run_id = $1 AND f.provider = $2
	  AND (f.state = 'open' OR ($3 AND f.state = 'found'))
	  AND ($4 OR f.finding NOT IN ('orphaned', 'placeholder'))
	ORDER BY f.user_id
	LIMIT $5`

// Open returns some users to be read from the provider. found includes
// those that differ for certain but are not repaired, as after an interruption;
// orphaned includes orphaned users and placeholders.
func (r *Reconcile) Open(ctx context.Context, found, orphaned bool, limit int) (open []Open, err error) {
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		// In one transaction, so that a run whose findings are gone is not taken for one that has none.
		return pgdb.InTx(ctx, t.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT capydb_auth.require_reconcile($1, $2)`, r.runID, r.provider); err != nil {
				return err
			}
			open, err = collect[Open](ctx, tx, selectOpen, planned, r.runID, r.provider, found, orphaned, limit)
			return err
		})
	})
	return open, err
}

// Settled is what was found out about a user, or what became of it.
type Settled struct {
	UserID  string   `json:"user_id"`
	State   string   `json:"state"`
	Finding string   `json:"finding,omitempty"`
	Columns []string `json:"columns,omitempty"`
}

// Settle notes what was found out about users, or what became of them.
func (r *Reconcile) Settle(ctx context.Context, users []Settled) error {
	if len(users) == 0 {
		return nil
	}
	doc, err := json.Marshal(users)
	if err != nil {
		return fmt.Errorf("encode what was found: %w", err)
	}
	return r.exec(ctx, `SELECT capydb_auth.reconcile_settle($1, $2, $3::jsonb)`, doc)
}

// Tally is how many users have the same finding and state.
type Tally struct {
	Finding, State string
	Users          int64
}

// Drifted is a user that differs, or differed.
type Drifted struct {
	UserID  string   `json:"user_id"`
	Finding string   `json:"finding"`
	Columns []string `json:"columns"`
	State   string   `json:"state"` // found, repaired, failed; open: the provider was not asked
}

// Totals are the findings of a run as numbers.
type Totals struct {
	Met     int64            // users that the walk has met
	Tallies []Tally          // of users that are not equal
	Columns map[string]int64 // of users that differ: how many in which column
	Users   []Drifted        // the first of them
}

const (
	selectTallies = `
		SELECT f.finding, f.state, count(*) AS users
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.state <> 'none'
		GROUP BY f.finding, f.state`

	selectColumns = `
		SELECT c.name, count(*)
		FROM capydb_auth.reconcile_findings AS f
		CROSS JOIN unnest(f.columns) AS c (name)
		WHERE f.run_id = $1 AND f.provider = $2 AND f.state <> 'none' AND f.finding <> 'unreported'
		GROUP BY c.name`

	selectDrifted = `
		SELECT f.user_id, f.finding, f.columns, f.state
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.state <> 'none' AND f.finding <> 'unreported'
		ORDER BY f.user_id
		LIMIT $3`

	countMet = `
		SELECT count(*)
		FROM capydb_auth.reconcile_findings AS f
		WHERE f.run_id = $1 AND f.provider = $2 AND f.user_id <> '' AND f.finding NOT IN ('orphaned', 'placeholder')`
)

// Totals counts the findings, and gives up to limit users that are not equal.
func (r *Reconcile) Totals(ctx context.Context, limit int) (totals Totals, err error) {
	err = r.query(ctx, func(ctx context.Context, t *tenant) error {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
		return pgx.BeginTxFunc(ctx, t.pool, options, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT capydb_auth.require_reconcile($1, $2)`, r.runID, r.provider); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, countMet, r.runID, r.provider).Scan(&totals.Met); err != nil {
				return err
			}
			if totals.Tallies, err = collect[Tally](ctx, tx, selectTallies, r.runID, r.provider); err != nil {
				return err
			}
			if totals.Users, err = collect[Drifted](ctx, tx, selectDrifted, r.runID, r.provider, limit); err != nil {
				return err
			}
			totals.Columns = make(map[string]int64)
			rows, err := tx.Query(ctx, selectColumns, r.runID, r.provider)
			if err != nil {
				return err
			}
			var name string
			var users int64
			_, err = pgx.ForEachRow(rows, []any{&name, &users}, func() error {
				totals.Columns[name] = users
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
