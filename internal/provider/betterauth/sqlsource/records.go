package sqlsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// recordTable is a table of Better Auth's plugin organization, with its own name. A table without
// these columns is another one that happens to have the name.
type recordTable struct {
	name    string
	of      record.Type
	columns []string
}

// recordTables returns the tables in the sequence in which they are read.
func recordTables() []recordTable {
	return []recordTable{
		{"organization", record.Organization, []string{"id", "name", "slug"}},
		{"member", record.Membership, []string{"id", "organizationId", "userId", "role"}},
		{"invitation", record.Invitation, []string{"id", "organizationId", "email"}},
	}
}

// Records reads up to 500 organizations, members or invitations, in the order of their ids. A table
// that does not exist or may not be read is left out, and a note says so.
func (s *source) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	tables := recordTables()
	names := make([]userapi.NamedList, len(tables))
	for i, table := range tables {
		names[i] = userapi.NamedList{Name: table.name, Of: table.of}
	}
	return userapi.WalkLists(cursor, names, func(table int, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
		if more, err = s.readRecords(ctx, tables[table], at, page); !isLeftOut(err) {
			return more, err
		}
		name := pgx.Identifier{s.Tables.Schema, names[table].Name}.Sanitize()
		note := "nothing was read from table " + name
		if at.ID != nil {
			note = "the rest of table " + name + " was not read"
		}
		note += ": " + err.Error()
		page.Notes = []string{note}
		page.Unlist(note, tables[table].of)
		return false, nil
	})
}

// errOtherTable reports a table that is not that of the plugin.
var errOtherTable = errors.New("the table is another one")

// isLeftOut reports whether an error says that one table is not read; its text says why.
func isLeftOut(err error) bool {
	return errors.Is(err, errNoTable) || errors.Is(err, errHidden) || errors.Is(err, errOtherTable)
}

// recordRow is a row of a table: its id, and the object of its columns.
type recordRow struct {
	ID     string
	Object json.RawMessage
}

// readRecords adds the rows after a place to a page, and moves the place. It reports whether there
// may be more.
func (s *source) readRecords(ctx context.Context, from recordTable, at *userapi.ListPlace, page *userapi.RecordPage) (more bool, err error) {
	query, cast, err := s.recordQuery(ctx, from, at.ID == nil)
	if err != nil {
		return false, err
	}
	readAt := s.Now()
	args := []any{pageSize}
	if at.ID != nil {
		args = append(args, *at.ID)
	}
	rows, err := s.Pool.Query(ctx, query, args...)
	var read []recordRow
	if err == nil {
		read, err = pgx.CollectRows(rows, pgx.RowToStructByPos[recordRow])
	}
	if at.ID != nil && s.isBadID(ctx, err, cast, *at.ID) {
		return false, userapi.ForeignCursor()
	}
	if err != nil {
		return false, s.explain(ctx, "read table "+from.name, err)
	}
	ids := make([]string, len(read))
	for i, r := range read {
		ids[i] = r.ID
	}
	if at.Repeats(ids) {
		return false, userapi.NoProgressOf("rows of table "+from.name, "the database", "behind one row it gives rows again that stood before", at.Offset, 0)
	}
	for _, r := range read {
		page.Records = append(page.Records, userapi.Record{Type: from.of, Object: r.Object, FetchedAt: readAt})
	}
	if len(read) < pageSize {
		return false, nil
	}
	at.ID = &ids[len(ids)-1]
	at.Add(ids)
	at.Offset += pageSize
	return true, nil
}

// recordQuery examines a table and returns the statement that reads its rows: $1 is their number, $2
// the id that they follow. cast is that of castOf.
func (s *source) recordQuery(ctx context.Context, from recordTable, first bool) (query, cast string, err error) {
	t, err := s.recordTable(ctx, from)
	if err != nil {
		return "", "", err
	}
	id, _ := t.find("id")
	where := `r."id" IS NOT NULL`
	if !first {
		where = `r."id" > $2::text::` + id.Type
	}
	return t.selectRows(where), castOf(id), nil
}

// recordTable examines a table of the plugin.
func (s *source) recordTable(ctx context.Context, from recordTable) (*table, error) {
	t, err := s.table(ctx, from.name)
	switch {
	case errors.Is(err, errNoTable): // those of options.source are others
		return nil, fault.Wrap(fault.ProviderError, errNoTable, "the database has no such table of Better Auth's plugin organization")
	case err != nil:
		return nil, err
	}
	for _, name := range from.columns {
		if _, ok := t.find(name); !ok {
			return nil, fault.Wrap(fault.ProviderError, errOtherTable,
				fmt.Sprintf("it has no column %q that may be read, as that of Better Auth's plugin organization has", name))
		}
	}
	return t, nil
}

// selectRows is the statement that reads $1 rows of a table of the plugin, in the order of their ids.
func (t *table) selectRows(where string) string {
	var list []string
	for _, c := range t.columns {
		if !c.isPrivate() {
			list = append(list, c.printed(c.Name, "r")+" AS "+pgx.Identifier{c.Name}.Sanitize())
		}
	}
	return `SELECT r."id"::text, (SELECT pg_catalog.row_to_json(o) FROM (SELECT ` + strings.Join(list, ", ") + `) AS o)` +
		` FROM ` + t.name + ` AS r WHERE ` + where + ` ORDER BY r."id" LIMIT $1`
}

// Record reads one row: that it is not there, in a table that may be read as a whole, proves that
// there is no such record.
func (s *source) Record(ctx context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	tables := recordTables()
	i := slices.IndexFunc(tables, func(t recordTable) bool { return t.of == ref.Type })
	if i < 0 {
		return userapi.Record{}, userapi.Unreadable(ref)
	}
	t, err := s.recordTable(ctx, tables[i])
	if err != nil {
		return userapi.Record{}, err
	}
	keys, values := []string{"id"}, []string{ref.ID}
	if ref.Type == record.Membership {
		organizationID, userID, _ := record.SplitMembershipID(ref.ID)
		keys, values = []string{"organizationId", "userId"}, []string{organizationID, userID}
	}
	conditions, args := make([]string, len(keys)), []any{1}
	for i, name := range keys {
		column, _ := t.find(name)
		args = append(args, values[i])
		conditions[i] = fmt.Sprintf(`r.%s = $%d::text::%s`, pgx.Identifier{name}.Sanitize(), len(args), column.Type)
	}
	readAt := s.Now()
	rows, err := s.Pool.Query(ctx, t.selectRows(strings.Join(conditions, " AND ")), args...)
	var read []recordRow
	if err == nil {
		read, err = pgx.CollectRows(rows, pgx.RowToStructByPos[recordRow])
	}
	for i, name := range keys {
		column, _ := t.find(name)
		if s.isBadID(ctx, err, castOf(column), values[i]) { // an id that the column's type cannot hold is no record's
			return userapi.Record{}, userapi.ErrGone
		}
	}
	switch {
	case err != nil:
		return userapi.Record{}, s.explain(ctx, "read a row of table "+tables[i].name, err)
	case len(read) == 0:
		return userapi.Record{}, userapi.ErrGone
	}
	return userapi.Record{Type: ref.Type, Object: read[0].Object, FetchedAt: readAt}, nil
}
