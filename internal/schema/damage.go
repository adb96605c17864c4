package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// Problem is a recorded object that was dropped or modified.
type Problem struct {
	Object string // table capydb_auth.users
	What   string // "is missing", "was changed"
	// Repair is the statement that repairs it; empty if there is none, or if sql/ recreates it.
	Repair string
	// Heals means that Up repairs it.
	Heals bool
	// Blocks means that nothing can work until it is repaired; Up refuses.
	Blocks bool
}

func (p Problem) String() string { return p.Object + " " + p.What }

// compare lists recorded objects that were dropped or modified.
func compare(record, catalog definitions, sameServer bool) []Problem {
	var objects []object
	for o := range record {
		objects = append(objects, o)
	}
	var problems []Problem
	for _, o := range sorted(objects) {
		is, exists := catalog[o]
		if o.table() != o.Identity && !catalog.hasTable(o.table()) {
			continue // its missing table is already reported
		}
		switch {
		case !exists:
			problems = append(problems, missing(o, record[o]))
		case is != record[o] && sameServer:
			problems = append(problems, changed(o, record[o], is))
		}
	}
	return problems
}

func (d definitions) hasTable(identity string) bool {
	_, is := d[object{"table", identity}]
	return is
}

func missing(o object, definition string) Problem {
	p := Problem{Object: o.String(), What: "is missing"}
	switch o.Kind {
	case "index":
		p.Heals, p.Repair = true, definition
	case "constraint":
		name, table, _ := strings.Cut(o.Identity, " on ")
		p.Heals, p.Repair = true, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", table, name, definition)
	default:
		p.Heals, p.Blocks = o.isCode(), !o.isCode()
	}
	return p
}

func changed(o object, was, is string) Problem {
	p := Problem{Object: o.String(), What: "was changed", Heals: o.isCode(), Blocks: o.Kind == "type"}
	if !o.isCode() {
		p.What = fmt.Sprintf("was changed: it should be %q and is %q", was, is)
	}
	return p
}

// damageError explains what must be restored before anything can work.
func (s source) damageError(problems []Problem) error {
	var advice []string
	lost := false
	for _, p := range problems {
		switch {
		case p.Blocks && p.Repair != "":
			advice = append(advice, p.String()+": run "+p.Repair)
		case p.Blocks:
			advice = append(advice, p.String())
			lost = true
		}
	}
	if lost {
		advice = append(advice, "what is missing must be restored from a backup")
	}
	if lost && s.kind == Project {
		advice = append(advice, fmt.Sprintf("or, to rebuild the mirror, run ALTER SCHEMA %[1]s RENAME TO %[1]s_damaged, and repeat "+
			"authsync integrations set: the events in the inbox are then applied again, and destinations do not receive changes that they already got", s.kind.Name()))
	}
	return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(advice, "; "))
}

func heals(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Heals })
}

func blocks(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Blocks })
}

// problems compares the record with the catalog. Before the first Up there are none.
func (s source) problems(ctx context.Context, tx pgx.Tx) (found []Problem, err error) {
	catalog, err := s.readCatalog(ctx, tx)
	if err != nil {
		return nil, err
	}
	if !catalog.hasTable(s.kind.Name()+".schema_objects") || !catalog.hasTable(s.kind.Name()+".schema_code") {
		return nil, nil
	}
	record, err := s.record(ctx, tx)
	if err != nil {
		return nil, err
	}
	same, err := s.sameServer(ctx, tx)
	if err != nil {
		return nil, err
	}
	found = compare(record, catalog, same)
	barred, err := s.barred(ctx, tx, record)
	return append(found, barred...), err
}

// selectBarred lists our tables that our own role cannot use, because privileges were revoked or
// because a policy with FORCE ROW LEVEL SECURITY could hide rows, which would silently give wrong
// results.
const selectBarred = `
	SELECT c.oid::regclass::text AS name, r.rolname AS role,
	       NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
	            AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) AS no_right,
	       row_security_active(c.oid) AND (
	           NOT EXISTS (
	               SELECT FROM pg_policy AS p
	               WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd = '*'
	               AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(m.oid, 'USAGE')))
	               AND pg_get_expr(p.polqual, p.polrelid) = 'true'
	               AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true')
	           OR EXISTS (
	               SELECT FROM pg_policy AS p
	               WHERE p.polrelid = c.oid AND NOT p.polpermissive
	               AND (0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS m (oid) WHERE pg_has_role(m.oid, 'USAGE'))))
	       ) AS hides
	FROM pg_class AS c
	JOIN pg_roles AS r ON r.rolname = current_user
	WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND c.oid::regclass::text = ANY ($2)
	ORDER BY 1`

func (s source) barred(ctx context.Context, tx pgx.Tx, record definitions) ([]Problem, error) {
	var tables []string
	for o := range record {
		if o.Kind == "table" {
			tables = append(tables, o.Identity)
		}
	}
	rows, err := tx.Query(ctx, selectBarred, s.kind.Name(), tables)
	if err != nil {
		return nil, fmt.Errorf("check table privileges: %w", err)
	}
	var problems []Problem
	var table, role string
	var noRight, hides bool
	_, err = pgx.ForEachRow(rows, []any{&table, &role, &noRight, &hides}, func() error {
		if noRight {
			problems = append(problems, Problem{
				Object: "table " + table, What: "cannot be read and written by role " + role, Blocks: true,
				Repair: "GRANT ALL ON " + table + " TO " + pgx.Identifier{role}.Sanitize(),
			})
		}
		if hides {
			problems = append(problems, Problem{
				Object: "table " + table, What: "forces row-level security on role " + role + ", authsync's own", Blocks: true,
				Repair: "ALTER TABLE " + table + " NO FORCE ROW LEVEL SECURITY, or ALTER ROLE " + pgx.Identifier{role}.Sanitize() + " BYPASSRLS",
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check table privileges: %w", err)
	}
	return problems, nil
}

// repairTables recreates dropped indexes and constraints. It refuses if anything else is missing.
func (in *installer) repairTables(ctx context.Context, report *Report) error {
	state, err := in.inspect(ctx, in.conn)
	if err != nil {
		return err
	}
	if blocks(state.Problems) {
		return in.damageError(state.Problems)
	}
	for _, p := range state.Problems {
		if !p.Heals || p.Repair == "" {
			continue
		}
		if _, err := in.conn.Exec(ctx, p.Repair); err != nil {
			return fmt.Errorf("%w: %s: run %s, which failed here: %w", ErrDamaged, p, p.Repair, err)
		}
		report.Repaired = append(report.Repaired, p.String())
	}
	return nil
}

// Inspect is Status on an open connection or pool, in one transaction. Besides the versions it
// compares every recorded object with the catalog: State.Problems.
func Inspect(ctx context.Context, db pgdb.Beginner, kind Kind) (State, error) {
	return sourceOf(kind).inspect(ctx, db)
}

func (s source) inspect(ctx context.Context, db pgdb.Beginner) (state State, err error) {
	err = pgdb.InTx(ctx, db, func(tx pgx.Tx) error {
		if state, err = s.read(ctx, tx); err != nil {
			return err
		}
		if state.Problems, err = s.problems(ctx, tx); err != nil {
			return fmt.Errorf("compare schema %s with its record: %w", s.kind.Name(), err)
		}
		if !state.Exists || state.Newer() || (state.Version == state.Latest && state.CodeUpToDate()) {
			return nil
		}
		state.InTheWay, err = s.inTheWay(ctx, tx, state.Version)
		return err
	})
	return state, err
}
