package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// Objects of sql/ in a schema, as DROP takes them. River's are its own; those of
// an extension belong to it.
const (
	allViews = `
		SELECT c.oid::regclass::text
		FROM pg_class AS c
		WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'v' AND c.relname NOT LIKE 'river\_%'
		AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')`
	allRoutines = `
		SELECT p.oid::regprocedure::text
		FROM pg_proc AS p
		WHERE p.pronamespace = to_regnamespace($1) AND p.proname NOT LIKE 'river\_%'
		AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')`
	// A customer's trigger on our table calls a function of the customer's.
	allTriggers = `
		SELECT format('%I ON %s', t.tgname, t.tgrelid::regclass)
		FROM pg_trigger AS t
		JOIN pg_class AS c ON c.oid = t.tgrelid
		JOIN pg_proc AS f ON f.oid = t.tgfoid AND f.pronamespace = c.relnamespace
		WHERE c.relnamespace = to_regnamespace($1) AND c.relname NOT LIKE 'river\_%'
		AND NOT t.tgisinternal AND t.tgparentid = 0`
)

// dropStale drops what no file of sql/ makes any more and returns their names.
// A view is known by its name, which is that of its file. Routines and triggers
// are known by having been written in this transaction: every file was applied
// again just now, so that the others, and overloads left by a changed signature,
// have an older xmin. Nothing is dropped with CASCADE: a surprise shall fail.
func (in *installer) dropStale(ctx context.Context, tx pgx.Tx) ([]string, error) {
	const older = ` AND %s.xmin <> pg_current_xact_id()::xid`
	var views []string
	for _, file := range in.codeFiles() {
		if file.layer == "views" {
			views = append(views, file.object)
		}
	}
	dropped, err := in.drop(ctx, tx, "TRIGGER", allTriggers+fmt.Sprintf(older, "t"))
	if err != nil {
		return nil, err
	}
	staleViews, err := in.drop(ctx, tx, "VIEW", allViews+` AND c.relname <> ALL (coalesce($2::text[], '{}'))`, views)
	if err != nil {
		return nil, err
	}
	routines, err := in.drop(ctx, tx, "ROUTINE", allRoutines+fmt.Sprintf(older, "p"))
	if err != nil {
		return nil, err
	}
	return append(append(dropped, staleViews...), routines...), nil
}

// dropCode drops all that sql/ made, so that tables can go.
func (in *installer) dropCode(ctx context.Context) (dropped []string, err error) {
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		for _, class := range []struct{ word, list string }{
			{"TRIGGER", allTriggers}, {"VIEW", allViews}, {"ROUTINE", allRoutines},
		} {
			names, err := in.drop(ctx, tx, class.word, class.list)
			if err != nil {
				return err
			}
			dropped = append(dropped, names...)
		}
		_, err := tx.Exec(ctx, `DROP TABLE IF EXISTS `+pgx.Identifier{in.kind.Name(), "schema_code"}.Sanitize())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("drop functions and views: %w", err)
	}
	return dropped, nil
}

// drop drops the objects that the query lists, all at once where DROP can, so
// that they may depend on each other. It returns what was dropped.
func (in *installer) drop(ctx context.Context, tx pgx.Tx, word, list string, args ...any) ([]string, error) {
	rows, err := tx.Query(ctx, list+` ORDER BY 1`, append([]any{in.kind.Name()}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list stale objects: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list stale objects: %w", err)
	}
	statements := names
	if word != "TRIGGER" && len(names) > 0 {
		statements = []string{strings.Join(names, ", ")}
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, `DROP `+word+` `+statement); err != nil {
			return nil, fmt.Errorf("drop %s %s, which no file of sql/%s makes: %w", strings.ToLower(word), statement, in.kind, err)
		}
	}
	for i, name := range names {
		names[i] = strings.ToLower(word) + " " + name
	}
	return names, nil
}
