package mirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Rehearsal is what Rehearse found.
type Rehearsal struct {
	// Results has one entry an event.
	Results []Result
	// User is the user of the last event as it was before the rollback; nil: there was no row.
	User *User
}

// Rehearse applies events one after another, as Apply would, reads the user of
// the last one, and rolls all of it back: no reader of the mirror or of its change
// feed ever sees any of it. Constraints that the customer deferred are checked as a
// commit would. Its only error is a *tenantdb.DelayError, as of Apply.
func (m *Mirrors) Rehearse(ctx context.Context, projectID uuid.UUID, events []Event) (Rehearsal, error) {
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return Rehearsal{}, tenantdb.Delay(err)
	}
	if err := t.install(ctx); err != nil {
		return Rehearsal{}, t.delay(ctx, err)
	}
	r, err := t.rehearse(ctx, events)
	if err != nil {
		return Rehearsal{}, t.delay(ctx, err)
	}
	t.db.Succeeded()
	return r, nil
}

func (t *tenant) rehearse(ctx context.Context, events []Event) (r Rehearsal, err error) {
	ctx, cancel := t.db.Bound(ctx)
	defer cancel()
	tx, err := t.pool.Begin(ctx)
	if err != nil {
		return r, fmt.Errorf("begin a rehearsal: %w", err)
	}
	// What cannot be rolled back, because the connection broke, is not committed either.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for i := range events {
		result, err := rehearseOne(ctx, tx, events[i:i+1])
		if err != nil {
			return r, err
		}
		r.Results = append(r.Results, result)
	}
	if len(events) == 0 {
		return r, nil
	}
	users, _ := record.Of(record.User)
	err = tx.QueryRow(ctx, selectRecord(users), events[len(events)-1].UserID).Scan(&r.User)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read the user: %w", err)
	}
	return r, nil
}

// rehearseOne applies one event within a savepoint: one that fails takes back
// nothing of those before it. An error means that the event is not the cause.
func rehearseOne(ctx context.Context, tx pgx.Tx, event []Event) (result Result, err error) {
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		var ordinal int
		if err := tx.QueryRow(ctx, applyEvents, eventArgs(pointers(event))...).Scan(&ordinal, &result.Outcome, &result.Reason); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SET CONSTRAINTS ALL IMMEDIATE`)
		return err
	})
	switch {
	case err == nil:
		return result, Deferred([]Result{result})
	case delayed(err) || contends(err):
		return result, err
	}
	return Result{Err: err}, nil
}

// Triggers on the tables of the mirror that may do what no rollback undoes: those
// in an untrusted language, which can do anything, and those whose text calls what
// is known to leave the transaction.
const selectIrreversible = `
	SELECT format('trigger %I of table %s (function %s)', t.tgname, t.tgrelid::pg_catalog.regclass, p.oid::pg_catalog.regproc)
	FROM pg_catalog.pg_trigger AS t
	JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
	JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
	JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
	WHERE n.nspname = 'capydb_auth' AND NOT t.tgisinternal AND t.tgenabled <> 'D'
	  AND (NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
	    OR p.prosrc ~* '\m(dblink\w*|pg_background_launch|http_(get|post|put|patch|delete|head)|http|lo_export|pg_logical_emit_message)\s*\('
	    OR p.prosrc ~* '\mto\s+program\M')
	ORDER BY 1`

// CheckRehearsable reports why a rehearsal in a project's database could leave a trace.
func CheckRehearsable(ctx context.Context, tenants *pgdb.Tenants, databaseURL string) error {
	pool, err := tenants.Open(ctx, databaseURL, pgdb.Options{MaxConns: 1, ConnectTimeout: tenantdb.ConnectTimeout})
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := pool.Query(ctx, selectIrreversible)
	if err != nil {
		return fmt.Errorf("look for triggers on the mirror: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for triggers on the mirror: %w", err)
	}
	if len(found) > 0 {
		return fmt.Errorf("%s may do what a rollback does not undo: disable it for the test (ALTER TABLE … DISABLE TRIGGER …), "+
			"or test in a project of its own with the same provider", found[0])
	}
	return nil
}
