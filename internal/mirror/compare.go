package mirror

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// What a comparison with the mirror finds about a record that the provider has.
const (
	Equal     = "equal"
	Missing   = "missing"   // the mirror has no such record, or a placeholder only
	Differing = "differing" // in Columns
	Deleted   = "deleted"   // the mirror has the record as deleted
	// Unreported is a record that differs in nothing but what the provider sends no event for.
	Unreported = "unreported"
	// Orphaned is a record that the mirror has and the provider has not.
	Orphaned = "orphaned"
	// Placeholder is a placeholder that the provider does not know.
	Placeholder = "placeholder"
)

// Finding is how a record differs from an event's fields.
type Finding struct {
	Ordinal int // of the event
	Finding string
	Columns []string
	// Tolerated names what differs and does not count, such as raw.scim.
	Tolerated []string
	// IsOpen: the event cannot decide. The mirror heard of something newer, so
	// the provider must be asked what is true now.
	IsOpen bool
}

func compareRecords(d record.Definition) string {
	return `
	SELECT ordinal, finding, columns, tolerated, is_disputed AS is_open
	FROM capydb_auth.compare_` + d.Table + `(` + eventArray + `, $42::jsonb, true)
	ORDER BY ordinal`
}

// Compare tells how the records of events, all of one type, differ from the mirror, one finding an
// event; it changes nothing. The objects of the events hold all that the provider knows.
func (m *Mirrors) Compare(
	ctx context.Context, projectID uuid.UUID, t record.Type, events []Event, rules provider.Comparison,
) (findings []Finding, err error) {
	d, err := listedType(t)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, nil
	}
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		findings, err = findingsOf(l.pool.Query(ctx, compareRecords(d), append(eventArgs(pointers(events)), rules)...))
		return err
	})
	return findings, err
}

// listedType returns the definition of a type that providers list.
func listedType(t record.Type) (record.Definition, error) {
	d, known := record.Of(t)
	if !known || !d.Listed {
		return d, fmt.Errorf("records of type %q are not compared", t)
	}
	return d, nil
}

func findingsOf(rows pgx.Rows, err error) ([]Finding, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Finding])
}
