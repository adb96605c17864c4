package mirror

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
)

// What a comparison with the mirror finds about a user that the provider has.
const (
	Equal     = "equal"
	Missing   = "missing"   // the mirror has no such user, or a placeholder only
	Differing = "differing" // in Columns
	Deleted   = "deleted"   // the mirror has the user as deleted
	// Unreported is a user who differs in nothing but what the provider sends no event for.
	Unreported = "unreported"
	// Orphaned is a user that the mirror has and the provider has not.
	Orphaned = "orphaned"
	// Placeholder is a placeholder that the provider does not know.
	Placeholder = "placeholder"
)

// Finding is how a user differs from an event's fields.
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

const compareUsers = `
	SELECT ordinal, finding, columns, tolerated, is_disputed AS is_open
	FROM capydb_auth.compare_users(` + eventArray + `, $42::jsonb, true)
	ORDER BY ordinal`

// Compare tells how the users of events differ from the mirror, one finding an
// event; it changes nothing. The user objects of the events hold all that the provider knows.
func (m *Mirrors) Compare(
	ctx context.Context, projectID uuid.UUID, events []Event, rules provider.Comparison,
) (findings []Finding, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		findings, err = findingsOf(l.pool.Query(ctx, compareUsers, append(eventArgs(pointers(events)), rules)...))
		return err
	})
	return findings, err
}

func findingsOf(rows pgx.Rows, err error) ([]Finding, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Finding])
}
