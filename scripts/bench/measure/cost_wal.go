package measure

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// walPart is what the records of one kind about one relation took of the WAL.
type walPart struct {
	relation string // of a partition, its parent; empty where a record is about none, such as a commit
	kind     string // as pg_waldump says it: Heap/INSERT
	records  int64
	bytes    int64 // without images of pages
	images   int64 // bytes of pages that changed for the first time since the checkpoint
}

// selectWAL needs pg_walinspect, which servers from npm come without.
const selectWAL = `
SELECT w.resource_manager || '/' || w.record_type AS kind, coalesce((regexp_match(w.block_ref, 'rel \d+/\d+/\d+'))[1], '') AS relation,
    count(*) AS records, sum(w.record_length - w.fpi_length) AS bytes, sum(w.fpi_length) AS images
FROM pg_get_wal_records_info('0/0'::pg_lsn + $1::numeric, '0/0'::pg_lsn + $2::numeric) AS w
GROUP BY 1, 2`

const selectRelations = `
SELECT format('rel %s/%s/%s', coalesce(nullif(c.reltablespace, 0), d.dattablespace), d.oid, pg_relation_filenode(c.oid)) AS place,
    coalesce(o.relname || ' ', '') || c.relname AS name
FROM pg_class AS c
JOIN pg_database AS d ON d.datname = current_database()
LEFT JOIN pg_index AS x ON x.indexrelid = c.oid
LEFT JOIN pg_class AS o ON o.oid = x.indrelid
WHERE pg_relation_filenode(c.oid) IS NOT NULL`

// walParts reads the WAL between two positions, the largest parts first.
func (e *environment) walParts(ctx context.Context, from, to int64) (parts []walPart, err error) {
	names := make(map[string]string)
	for _, database := range []string{controlDatabase, projectDatabase} {
		if err := e.nameRelations(ctx, database, names); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.Connect(ctx, e.server.URL("postgres"))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_walinspect`); err != nil {
		return nil, fmt.Errorf("install what reads the WAL: %w", err)
	}
	if _, err := conn.Exec(ctx, `SELECT pg_switch_wal()`); err != nil { // what was just written can be read then
		return nil, fmt.Errorf("flush the WAL: %w", err)
	}
	rows, err := conn.Query(ctx, selectWAL, strconv.FormatInt(from, 10), strconv.FormatInt(to, 10))
	if err != nil {
		return nil, fmt.Errorf("read the WAL: %w", err)
	}
	sums := make(map[[2]string]walPart)
	var p walPart
	_, err = pgx.ForEachRow(rows, []any{&p.kind, &p.relation, &p.records, &p.bytes, &p.images}, func() error {
		if name, known := names[p.relation]; known {
			p.relation = name
		}
		p.relation = day.ReplaceAllString(p.relation, "")
		key := [2]string{p.relation, p.kind}
		s := sums[key]
		sums[key] = walPart{p.relation, p.kind, s.records + p.records, s.bytes + p.bytes, s.images + p.images}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the WAL: %w", err)
	}
	for _, s := range sums {
		parts = append(parts, s)
	}
	slices.SortFunc(parts, func(a, b walPart) int { return int(b.bytes + b.images - a.bytes - a.images) })
	return parts, nil
}

// day is what the names of partitions have of theirs.
var day = regexp.MustCompile(`_\d{8}`)

// nameRelations adds the relations of a database by where their files are.
func (e *environment) nameRelations(ctx context.Context, database string, names map[string]string) error {
	conn, err := pgx.Connect(ctx, e.server.URL(database))
	if err != nil {
		return fmt.Errorf("connect to database %s: %w", database, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, selectRelations)
	if err != nil {
		return fmt.Errorf("list the relations of %s: %w", database, err)
	}
	var place, name string
	_, err = pgx.ForEachRow(rows, []any{&place, &name}, func() error { names[place] = name; return nil })
	if err != nil {
		return fmt.Errorf("list the relations of %s: %w", database, err)
	}
	return nil
}

// walRows is the table of where the WAL of a measurement went; what is under 5 bytes an event is one row.
func walRows(r applied) [][]string {
	rows := [][]string{{"WAL of " + r.what, "records/event", "B/event", "page images B/event"}}
	var rest walPart
	row := func(name string, p walPart) {
		n := int64(r.events)
		rows = append(rows, []string{name, fmt.Sprintf("%.3f", float64(p.records)/float64(n)), strconv.FormatInt(p.bytes/n, 10), strconv.FormatInt(p.images/n, 10)})
	}
	for _, p := range r.wal {
		if p.bytes+p.images < 5*int64(r.events) {
			rest.records, rest.bytes, rest.images = rest.records+p.records, rest.bytes+p.bytes, rest.images+p.images
			continue
		}
		row(strings.TrimSpace(p.relation+" "+p.kind), p)
	}
	row("the rest", rest)
	return rows
}
