package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
)

// User is a row of capydb_auth.users.
type User struct {
	ID           string          `json:"id"`
	Email        *string         `json:"email"`
	FirstName    *string         `json:"first_name"`
	LastName     *string         `json:"last_name"`
	Username     *string         `json:"username"`
	ImageURL     *string         `json:"image_url"`
	CreatedAt    *time.Time      `json:"created_at"`
	UpdatedAt    *time.Time      `json:"updated_at"`
	LastSignInAt *time.Time      `json:"last_sign_in_at"`
	DeletedAt    *time.Time      `json:"deleted_at"`
	Raw          json.RawMessage `json:"raw"`
	// Provider and LastEventProcessed are nil for a placeholder.
	Provider           *string    `json:"provider"`
	LastEventProcessed *time.Time `json:"last_event_processed"`
	// PlaceholderSince is when ensure_user made the row; nil once an event about the user was applied.
	PlaceholderSince *time.Time `json:"placeholder_since"`
}

// Source is the event that set a column (view user_sources).
type Source struct {
	Column  string     `db:"column_name"`
	EventID *string    // nil: no event set the column
	SetAt   *time.Time // the provider's clock; nil likewise
	SentAt  *time.Time
}

// Change is a row of capydb_auth.record_changes.
type Change struct {
	ID        int64
	Kind      string
	Changed   []string
	Before    json.RawMessage
	After     json.RawMessage
	Provider  string
	EventID   string
	EventAt   time.Time
	ChangedAt time.Time
}

// History is a user as the mirror has it, and how it came to be.
type History struct {
	User    User
	Sources []Source
	Changes []Change // oldest first; the newest that fit into a page
	// ChangesBefore is the id before which to read on, because there are older changes; nil: there are none.
	ChangesBefore *int64
}

// Bounds of a page of changes. What a customer's database holds is as large as its profiles and as many as
// its updates, so a page is bounded by both. One change is always in it.
const (
	maxChanges     = 1000
	maxChangeBytes = 2 << 20 // of the rows before and after
	changesAtOnce  = 16      // that are read at once, before their size is known
)

// planned has a statement planned for the tables as they are now. A prepared one keeps its plan, which may have been
// made while they were empty.
const planned = pgx.QueryExecModeExec

// By all columns of the index, so that no plan can walk through the feed by id.
const selectChanges = `
	SELECT u.id, u.kind, u.changed, u.before, u.after, u.provider, u.event_id, u.event_at, u.changed_at
	FROM (
		SELECT c.id
		FROM capydb_auth.changes AS c
		WHERE (c.record_id, c.record_type, c.id) >= ($2, $1, 0) AND (c.record_id, c.record_type, c.id) < ($2, $1, $3)
		ORDER BY c.record_id DESC, c.record_type DESC, c.id DESC
		LIMIT $4
	) AS c
	CROSS JOIN LATERAL (SELECT i.* FROM capydb_auth.record_changes AS i WHERE i.id >= c.id AND i.id <= c.id ORDER BY i.id LIMIT 1) AS u
	ORDER BY u.id DESC`

// History reads a user as RecordHistory does. It returns ErrNoRecord where the mirror has no such user.
func (m *Mirrors) History(ctx context.Context, projectID uuid.UUID, userID string, before int64) (History, error) {
	r, err := m.RecordHistory(ctx, projectID, record.Ref{Type: record.User, ID: userID}, before, 0)
	if err != nil {
		return History{}, err
	}
	h := History{Sources: r.Sources, Changes: r.Changes, ChangesBefore: r.ChangesBefore}
	if err := json.Unmarshal(r.Row, &h.User); err != nil {
		return History{}, fmt.Errorf("read the user from the mirror: %w", err)
	}
	return h, nil
}

// unread makes a *tenantdb.DelayError of an error of reading that passes: somebody has locked a table of the mirror.
func unread(err error) error {
	if contends(err) || pgdb.Code(err) == pgerrcode.QueryCanceled {
		return tenantdb.Delay(err)
	}
	return err
}

// changes reads a page of a record's changes in the order of their ids, at most that many; 0: maxChanges.
func changes(ctx context.Context, tx pgx.Tx, ref record.Ref, before int64, most int) (page []Change, more *int64, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	most = min(cmp.Or(most, maxChanges), maxChanges)
	page = []Change{}
	for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
		if _, err := tx.Exec(ctx, setting); err != nil {
			return nil, nil, err
		}
	}
	for bytes := 0; len(page) <= most; {
		atOnce := min(changesAtOnce, most+1-len(page)) // one more tells whether there are older ones
		next, err := collect[Change](ctx, tx, selectChanges, ref.Type, ref.ID, before, atOnce)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range next {
			bytes += len(c.Before) + len(c.After)
			if bytes > maxChangeBytes && len(page) > 0 {
				slices.Reverse(page)
				return page, &page[0].ID, nil
			}
			page = append(page, c)
		}
		if len(next) < atOnce && len(page) <= most {
			slices.Reverse(page)
			return page, nil, nil
		}
		before = next[len(next)-1].ID
	}
	page = page[:most]
	slices.Reverse(page)
	return page, &page[0].ID, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func collect[T any](ctx context.Context, tx querier, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}
