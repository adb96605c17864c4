package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/record"
)

// ErrNoRecord means that the mirror has no record with this id.
var ErrNoRecord = errors.New("the mirror has no record with this id")

// RecordHistory is a record of any type as the mirror has it, and how it came to be.
type RecordHistory struct {
	Row     json.RawMessage // an object with the columns of the table, except what versions need
	Sources []Source
	Changes []Change // oldest first; the newest that fit into a page
	// ChangesBefore is the id before which to read on, because there are older changes; nil: there are none.
	ChangesBefore *int64
}

// ofVersions are the columns that only ordering needs; the sources show what is in them.
const ofVersions = `'{last_event_id,last_event_sent_at,last_event_fields,field_versions}'::text[]`

// keyCondition is the condition on a row r by its key, whose parameters begin with $1; keyOf gives them.
func keyCondition(d record.Definition) string {
	conditions := make([]string, len(d.Key))
	for i, column := range d.Key {
		conditions[i] = fmt.Sprintf("r.%s = $%d", column, i+1)
	}
	return strings.Join(conditions, " AND ")
}

// keyOf gives the key of a record; ok is false for an id that no record of the type can have.
func keyOf(d record.Definition, id string) (key []any, ok bool) {
	if d.Type != record.Membership {
		return []any{id}, true
	}
	organizationID, userID, ok := record.SplitMembershipID(id)
	return []any{organizationID, userID}, ok
}

func selectRecord(d record.Definition) string {
	return "SELECT to_jsonb(r) - " + ofVersions + " FROM capydb_auth." + d.Table + " AS r WHERE " + keyCondition(d)
}

func selectRecordSources(d record.Definition) string {
	condition := keyCondition(d)
	if len(d.Key) == 1 {
		condition = "r." + string(d.Type) + "_id = $1"
	}
	return "SELECT r.column_name, r.event_id, r.set_at, r.sent_at FROM capydb_auth." + string(d.Type) + "_sources AS r WHERE " + condition
}

// RecordHistory reads a record, the source of each of its columns, and a page of its changes, all as of one
// moment: the newest of those before an id, 0 for the newest of all; at most that many, 0 for a thousand. It returns ErrNoRecord where the mirror
// has no such record.
func (m *Mirrors) RecordHistory(ctx context.Context, projectID uuid.UUID, ref record.Ref, before int64, most int) (h RecordHistory, err error) {
	d, known := record.Of(ref.Type)
	key, ok := keyOf(d, ref.ID)
	if !known || !ok {
		return RecordHistory{}, ErrNoRecord
	}
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return RecordHistory{}, err
	}
	if err := t.install(ctx); err != nil {
		return RecordHistory{}, err
	}
	args := append([]any{planned}, key...)
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, t.pool, options, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, selectRecord(d), args...).Scan(&h.Row); err != nil {
			return err
		}
		if h.Sources, err = collect[Source](ctx, tx, selectRecordSources(d), args...); err != nil {
			return err
		}
		h.Changes, h.ChangesBefore, err = changes(ctx, tx, ref, before, most)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return RecordHistory{}, ErrNoRecord
	}
	if err != nil {
		return RecordHistory{}, unread(fmt.Errorf("read the record from the mirror: %w", err))
	}
	return h, nil
}

// RecordFilter chooses records of a type; what is empty chooses all.
type RecordFilter struct {
	Type record.Type
	// OrganizationID and UserID are for types that have such a column only.
	OrganizationID, UserID string
	// Email is the whole address, in any case; for types that have one only.
	Email string
	// Name is what a name begins with, in any case, for types for which HasNames; see selectNamed. It goes with none of the above.
	Name string
	// After is the last id of the page before, and AfterName the Name of that record if records are listed by name.
	After, AfterName string
	Limit            int
}

// ListedRecord is a record as lists show it.
type ListedRecord struct {
	ID  string
	Row json.RawMessage // as in RecordHistory, without raw
	// Name is by what it was found, if it was by name, as the index has it.
	Name string
}

// match is what records are filtered by: an expression of the row, and what it must be equal to.
type match struct{ of, value, text string }

// matches are those of a filter. The first that is given leads the index by which the records are found.
func (f *RecordFilter) matches() []match {
	all := []match{{"lower(r.email)", "lower(%s)", f.Email}, {"r.user_id", "%s", f.UserID}, {"r.organization_id", "%s", f.OrganizationID}}
	return slices.DeleteFunc(all, func(m match) bool { return m.text == "" })
}

// selectRecords lists records in the order of their keys, from where the page before ended, by way of the index of what
// they are filtered by.
//
// That leads the order, as it leads the columns of its index, and is asked for as a range. If it were compared with a
// constant, the planner would know that it need not be sorted, and any index of the keys would do in its eyes: without
// statistics it would walk over the whole table.
func selectRecords(d record.Definition, f RecordFilter) (query string, args []any, err error) {
	place := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	id := "r.id"
	if d.Type == record.Membership {
		id = `capydb_auth.membership_id(r.organization_id, r.user_id)`
	}
	values := make(map[string]any, len(d.Key)) // where the page before ended
	if f.After != "" {
		key, ok := keyOf(d, f.After)
		if !ok {
			return "", nil, ErrNoRecord
		}
		for i, column := range d.Key {
			values["r."+column] = key[i]
		}
	}
	var order, conditions, after []string
	matches := f.matches()
	isWholeKey := len(d.Key) > 1 && len(matches) == len(d.Key) // one row
	for i, m := range matches {
		value := fmt.Sprintf(m.value, place(m.text))
		if i > 0 || isWholeKey {
			conditions = append(conditions, m.of+" = "+value)
			continue
		}
		conditions = append(conditions, m.of+" >= "+value, m.of+" <= "+value)
		order, after = append(order, m.of), append(after, value)
	}
	for _, column := range d.Key {
		if column = "r." + column; !slices.Contains(order, column) {
			order = append(order, column)
			if f.After != "" {
				after = append(after, place(values[column]))
			}
		}
	}
	if f.After != "" {
		conditions = append(conditions, "("+strings.Join(order, ", ")+") > ("+strings.Join(after, ", ")+")")
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	query = "SELECT " + id + " AS id, '' AS name, to_jsonb(r) - 'raw' - " + ofVersions + " AS row FROM capydb_auth." + d.Table + " AS r" + where +
		" ORDER BY " + strings.Join(order, ", ") + " LIMIT " + place(f.Limit)
	return query, args, nil
}

// Records reads records of a type in the order of their keys, or of their names if they are looked for by name.
// Error: ErrNoRecord for a cursor that is none.
func (m *Mirrors) Records(ctx context.Context, projectID uuid.UUID, f RecordFilter) ([]ListedRecord, error) {
	d, known := record.Of(f.Type)
	if !known {
		return nil, ErrNoRecord
	}
	var query string
	var args []any
	var err error
	if f.Name != "" {
		query, args = selectNamed(d, f)
	} else if query, args, err = selectRecords(d, f); err != nil {
		return nil, err
	}
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, err
	}
	if err := t.install(ctx); err != nil {
		return nil, err
	}
	found, err := inOrder[ListedRecord](ctx, t, query, args...)
	if err != nil {
		return nil, unread(fmt.Errorf("list the records of the mirror: %w", err))
	}
	return found, nil
}
