package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

// dropStatement drops objects of one kind together, so that they may depend on each other. It never
// uses CASCADE: foreign objects that depend on them must not be dropped too.
func dropStatement(objects ...object) string {
	word := map[string]string{"view": "VIEW", "trigger": "TRIGGER"}[objects[0].Kind]
	if word == "" {
		word = "ROUTINE"
	}
	var names []string
	for _, o := range objects {
		name := o.Identity
		if o.Kind == "trigger" {
			trigger, table, _ := strings.Cut(name, " on ")
			name = trigger + " ON " + table
		}
		names = append(names, name)
	}
	return "DROP " + word + " " + strings.Join(names, ", ")
}

// dropStale drops recorded objects that no file of sql/ creates any more, such as overloads left by
// a changed signature. Those that foreign objects depend on stay, in the record too, and the next
// application tries again. Objects that someone else has modified or recreated are left to them.
func (a *application) dropStale(ctx context.Context, sameServer bool) error {
	var stale []object
	for o, definition := range a.record {
		is, exists := a.before[o]
		switch {
		case !o.isCode() || slices.Contains(a.made, o) || !exists:
		case is != definition && sameServer:
			a.kept = append(a.kept, o.String()+" is no longer authsync's: someone else changed it")
		default:
			stale = append(stale, o)
		}
	}
	dropped, left, err := dropAll(ctx, a.tx, stale)
	if err != nil {
		return fmt.Errorf("drop what no file of sql/%s creates: %w", a.kind, err)
	}
	for _, o := range dropped {
		a.dropped = append(a.dropped, o.String())
	}
	for _, l := range left {
		a.stale = append(a.stale, l.object)
		a.kept = append(a.kept, l.reason())
	}
	return nil
}

// dropCode drops all recorded code, so that tables can be dropped.
func (in *installer) dropCode(ctx context.Context) (names []string, err error) {
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		record, err := in.record(ctx, tx)
		if err != nil {
			return err
		}
		catalog, err := in.readCatalog(ctx, tx)
		if err != nil {
			return err
		}
		var code []object
		for o := range record {
			if _, exists := catalog[o]; exists && o.isCode() {
				code = append(code, o)
			}
			if o.isCode() {
				delete(record, o)
			}
		}
		dropped, left, err := dropAll(ctx, tx, code)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return dependsError(left[0].String(), left[0].err)
		}
		for _, o := range dropped {
			names = append(names, o.String())
		}
		if err := in.writeRecord(ctx, tx, record); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE `+in.quoted("schema_code")+` SET hash = ''`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drop functions and views: %w", err)
	}
	return names, nil
}

// leftover is an object that was not dropped because something depends on it.
type leftover struct {
	object

	err error
}

// reason says what depends on it. The detail of this error names objects and holds no row data.
func (l leftover) reason() string {
	pgErr, _ := errors.AsType[*pgconn.PgError](l.err)
	return l.String() + " is no longer needed, but " + strings.ReplaceAll(pgErr.Detail, "\n", "; ")
}

// dropAll drops objects in rounds, because one may depend on another, and returns those that could
// not be dropped because something else depends on them.
func dropAll(ctx context.Context, tx pgx.Tx, objects []object) (dropped []object, left []leftover, err error) {
	order := map[string]int{"trigger": 0, "view": 1} // routines last
	rank := func(o object) int {
		if n, known := order[o.Kind]; known {
			return n
		}
		return len(order)
	}
	sorted(objects)
	slices.SortStableFunc(objects, func(a, b object) int { return rank(a) - rank(b) })
	for len(objects) > 0 {
		left = nil
		for _, o := range objects {
			err := pgdb.InTx(ctx, tx, func(savepoint pgx.Tx) error {
				_, err := savepoint.Exec(ctx, dropStatement(o))
				return err
			})
			switch {
			case err == nil:
				dropped = append(dropped, o)
			case pgdb.Code(err) == pgerrcode.DependentObjectsStillExist:
				left = append(left, leftover{o, err})
			default:
				return nil, nil, fmt.Errorf("drop %s: %w", o, err)
			}
		}
		if len(left) == len(objects) {
			return dropped, left, nil
		}
		objects = nil
		for _, l := range left {
			objects = append(objects, l.object)
		}
	}
	return dropped, nil, nil
}
