package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// adopt applies a file whose object someone else seems to have created, if that changes nothing.
func (a *application) adopt(ctx context.Context, file codeFile, is object) error {
	foreign := a.foreignError([]string{is.String()})
	err := pgdb.InTx(ctx, a.tx, func(savepoint pgx.Tx) error {
		if _, err := savepoint.Exec(ctx, file.text); err != nil {
			return errors.Join(foreign, err)
		}
		after, err := a.readCatalog(ctx, savepoint)
		if err == nil && after[is] != a.before[is] {
			err = foreign
		}
		return err
	})
	if err != nil && errors.Is(err, ErrForeign) {
		return foreign
	}
	return err
}

// selectReaders lists a view and our views that read it, directly or indirectly.
const selectReaders = `
	WITH RECURSIVE reader (oid) AS (
		SELECT to_regclass($1)::oid
		UNION
		SELECT w.ev_class
		FROM reader AS r
		JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid AND d.classid = 'pg_rewrite'::regclass
		JOIN pg_rewrite AS w ON w.oid = d.objid
	)
	SELECT r.oid::regclass::text FROM reader AS r WHERE r.oid::regclass::text = ANY ($2)`

// dropToReplace drops an object that cannot be altered to match its file, together with our views
// that read it. apply restores their privileges. If foreign objects depend on them, the error is
// ErrDepends.
func (a *application) dropToReplace(ctx context.Context, is object) error {
	falling := []object{is}
	if is.Kind == "view" {
		var ours []string
		for o := range a.record {
			if o.Kind == "view" {
				ours = append(ours, o.Identity)
			}
		}
		rows, err := a.tx.Query(ctx, selectReaders, is.Identity, ours)
		if err != nil {
			return fmt.Errorf("find readers of %s: %w", is, err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("find readers of %s: %w", is, err)
		}
		falling = nil
		for _, name := range names {
			falling = append(falling, object{"view", name})
		}
	}
	for declared, o := range a.resolved {
		if !slices.Contains(falling, o) {
			continue
		}
		rights, err := a.rightsOn(ctx, o)
		if err != nil {
			return err
		}
		a.rights[declared] = rights
		a.fallen[o.Identity] = o != is
		delete(a.resolved, declared)
	}
	err := a.exec(ctx, dropStatement(falling...))
	if pgdb.Code(err) == pgerrcode.DependentObjectsStillExist {
		return dependsError(is.String(), err)
	}
	return err
}

// rightsOn returns the GRANT statements that restore others' privileges on a view or routine.
func (a *application) rightsOn(ctx context.Context, o object) ([]string, error) {
	rows, err := a.tx.Query(ctx, `
		SELECT format('GRANT %s ON %s %s TO %s%s', g.privilege_type, o.word, $2::text,
		              CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
		              CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
		FROM (
			SELECT 'TABLE' AS word, c.relacl AS acl, c.relowner AS owner FROM pg_class AS c
			WHERE c.oid = CASE WHEN $1 = 'view' THEN to_regclass($2) END
			UNION ALL
			SELECT 'ROUTINE', p.proacl, p.proowner FROM pg_proc AS p
			WHERE p.oid = CASE WHEN $1 IN ('function', 'procedure') THEN to_regprocedure($2) END
		) AS o
		CROSS JOIN LATERAL aclexplode(o.acl) AS g
		WHERE g.grantee <> o.owner`, o.Kind, o.Identity)
	if err != nil {
		return nil, fmt.Errorf("read privileges on %s: %w", o, err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read privileges on %s: %w", o, err)
	}
	return statements, nil
}

// selectDefinition reads how others have made an object.
const selectDefinition = `
	SELECT coalesce(CASE
		WHEN $1::text = 'view' THEN (
			SELECT concat('CREATE VIEW ', $2::text, ' WITH (' || array_to_string(c.reloptions, ', ') || ')', ' AS', pg_get_viewdef(c.oid))
			FROM pg_class AS c WHERE c.oid = to_regclass($2::text))
		WHEN $1::text = 'trigger' THEN (
			SELECT pg_get_triggerdef(t.oid)
			FROM pg_trigger AS t WHERE quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass::text = $2::text)
		ELSE pg_get_functiondef(to_regprocedure($2::text))
	END, '')`

// changedCode returns the definitions of what is ours and was changed by somebody else.
func (a *application) changedCode(ctx context.Context, sameServer bool) (map[object]string, error) {
	changed := map[object]string{}
	for o, was := range a.record {
		is, exists := a.before[o]
		if !sameServer || !o.isCode() || !exists || is == was {
			continue
		}
		var definition string
		if err := a.tx.QueryRow(ctx, selectDefinition, o.Kind, o.Identity).Scan(&definition); err != nil {
			return nil, fmt.Errorf("read what somebody has made of %s: %w", o, err)
		}
		changed[o] = definition
	}
	return changed, nil
}
