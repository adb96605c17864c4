package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// selectRecords lists records in the order of their keys, by way of the index of what they are filtered by.
func selectRecords(d record.Definition, f RecordFilter) (query string, args []any, err error) {
	var conditions []string
	add := func(condition string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			condition = strings.Replace(condition, "$?", fmt.Sprintf("$%d", len(args)), 1)
		}
		conditions = append(conditions, condition)
	}
	id := "r.id"
	if d.Type == record.Membership {
		id = `capydb_auth.membership_id(r.organization_id, r.user_id)`
	}
	for column, value := range map[string]string{"organization_id": f.OrganizationID, "user_id": f.UserID} {
		if value != "" {
			add("r."+column+" = $?", value)
		}
	}
	if f.Email != "" {
		add("lower(r.email) = lower($?)", f.Email)
	}
	keys := "r." + strings.Join(d.Key, ", r.")
	if f.After != "" {
		key, ok := keyOf(d, f.After)
		if !ok {
			return "", nil, ErrNoRecord
		}
		add("("+keys+") > ("+strings.TrimSuffix(strings.Repeat("$?, ", len(key)), ", ")+")", key...)
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	args = append(args, f.Limit)
	query = "SELECT " + id + " AS id, '' AS name, to_jsonb(r) - 'raw' - " + ofVersions + " AS row FROM capydb_auth." + d.Table + " AS r" + where +
		" ORDER BY " + keys + fmt.Sprintf(" LIMIT $%d", len(args))
	return query, args, nil
}

// Records reads records of a type in the order of their keys, or of their names if they are looked for by name.
// Error: ErrNoRecord for a cursor that is none.
func (m *Mirrors) Records(ctx context.Context, projectID uuid.UUID, f RecordFilter) ([]ListedRecord, error) {
	d, known := record.Of(f.Type)
	if !known {
		return nil, ErrNoRecord
	}
	query, args, err := selectRecords(d, f)
	if err != nil {
		return nil, err
	}
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, err
	}
	if err := t.install(ctx); err != nil {
		return nil, err
	}
	var found []ListedRecord
	if f.Name == "" {
		found, err = collect[ListedRecord](ctx, t.pool, query, append([]any{planned}, args...)...)
	} else {
		found, err = t.named(ctx, d, f)
	}
	if err != nil {
		return nil, unread(fmt.Errorf("list the records of the mirror: %w", err))
	}
	return found, nil
}
