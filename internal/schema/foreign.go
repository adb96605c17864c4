package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// selectTaken finds objects by name, except those in a given list of ours.
const selectTaken = `
	SELECT o.kind || ' ' || o.identity
	FROM (
		SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
		                      WHEN 'c' THEN 'type' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END AS kind,
		       c.oid::regclass::text AS identity
		FROM pg_class AS c
		WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY ($2)
		UNION
		SELECT 'type', t.oid::regtype::text
		FROM pg_type AS t
		WHERE t.typnamespace = to_regnamespace($1) AND t.typname = ANY ($2) AND t.typtype <> 'c'
	) AS o
	WHERE o.kind || ' ' || o.identity <> ALL ($3)
	ORDER BY 1`

// taken lists foreign objects whose names the migrations after a version need.
func (s source) taken(ctx context.Context, tx pgx.Tx, record definitions, version uint) ([]string, error) {
	names, ours := []string{}, []string{}
	for name := range s.madeBetween(version, s.latest()) {
		names = append(names, strings.TrimPrefix(name, s.kind.Name()+"."))
	}
	for o := range record {
		ours = append(ours, o.String())
	}
	rows, err := tx.Query(ctx, selectTaken, s.kind.Name(), names, ours)
	if err != nil {
		return nil, fmt.Errorf("check for conflicting names: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("check for conflicting names: %w", err)
	}
	return found, nil
}

// inTheWay lists foreign objects whose names Up needs, so that the state explains why Up will
// refuse.
func (s source) inTheWay(ctx context.Context, tx pgx.Tx, version uint) (found []string, err error) {
	record := definitions{}
	catalog, err := s.readCatalog(ctx, tx)
	if err == nil && catalog.hasTable(s.kind.Name()+".schema_objects") {
		record, err = s.record(ctx, tx)
	}
	if err == nil {
		found, err = s.taken(ctx, tx, record, version)
	}
	if err != nil || len(record) == 0 { // without a record, an object identical to ours counts as ours
		return found, err
	}
	var declared []object
	for _, file := range s.files {
		if o, err := file.declared(); err == nil && file.layer != "grants" {
			declared = append(declared, o)
		}
	}
	var resolved map[object]object
	err = pgdb.InTx(ctx, tx, func(savepoint pgx.Tx) error {
		resolved, err = resolve(ctx, savepoint, declared)
		return err
	})
	if err != nil { // a signature uses a type that only a pending migration creates
		return found, nil // Up will report it
	}
	for _, is := range resolved {
		if _, ours := record[is]; !ours {
			found = append(found, is.String())
		}
	}
	return found, nil
}
