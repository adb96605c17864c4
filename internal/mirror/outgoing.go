package mirror

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/record"
)

// FeedChange is a change of the feed with the whole row as it left it, Row, and as it
// was before; Before is nil where the record was new. Both are objects with one key a
// column that comes from the provider.
type FeedChange struct {
	ID         int64
	RecordType record.Type
	RecordID   string
	// UserID and OrganizationID are those that the record is or belongs to; empty if there is none.
	UserID, OrganizationID string
	Kind                   string // one of the kinds of record
	Changed                []string
	Row, Before            json.RawMessage
	Provider               string
	EventID                string
	EventAt                time.Time
	ChangedAt              time.Time
}

// RecordState is a record as of a change, and as it was before the first of some changes.
type RecordState struct {
	LastID      int64 // the last of these changes; Kind and Provider to ChangedAt are its own
	Kind        string
	RecordType  record.Type
	RecordID    string
	Row, Before json.RawMessage
	Provider    string
	EventID     string
	EventAt     time.Time
	ChangedAt   time.Time
}

const (
	recordColumns = `record_type, record_id, record_row AS row, before_row AS before, provider, event_id, event_at, changed_at`

	feedColumns = `id, kind, changed, coalesce(user_id, '') AS user_id, coalesce(organization_id, '') AS organization_id, ` + recordColumns

	readChanges = `SELECT ` + feedColumns + ` FROM capydb_auth.read_changes($1, $2)`
	changesByID = `SELECT ` + feedColumns + ` FROM capydb_auth.changes_by_id($1) ORDER BY id`

	recordStates = `SELECT id AS last_id, kind, ` + recordColumns + ` FROM capydb_auth.record_states($1, $2, $3)`

	// By all columns of the index, so that no plan can walk through the feed by id.
	latestChange = `
		SELECT coalesce((
			SELECT c.id
			FROM capydb_auth.changes AS c
			WHERE (c.record_id, c.record_type, c.id) >= ($2, $1, 0)
			  AND (c.record_id, c.record_type, c.id) <= ($2, $1, 9223372036854775807)
			ORDER BY c.record_id DESC, c.record_type DESC, c.id DESC
			LIMIT 1
		), 0)`

	// Likewise.
	latestRows = `
		SELECT s.record_id AS id, s.record_row AS row
		FROM capydb_auth.changes_by_id(ARRAY(
			SELECT l.id
			FROM unnest($2::text[]) AS r (id)
			CROSS JOIN LATERAL (
				SELECT c.id
				FROM capydb_auth.changes AS c
				WHERE (c.record_id, c.record_type, c.id) >= (r.id, $1::text, 0)
				  AND (c.record_id, c.record_type, c.id) <= (r.id, $1::text, 9223372036854775807)
				ORDER BY c.record_id DESC, c.record_type DESC, c.id DESC
				LIMIT 1
			) AS l
		)) AS s`

	// Written so that only the indexes can be used, whatever the planner believes of the tables.
	organizationsOf = `
		SELECT u.id AS user_id, m.organization_id
		FROM unnest($1::text[]) AS u (id)
		LEFT JOIN LATERAL (
			SELECT o.deleted_at
			FROM capydb_auth.users AS o
			WHERE o.id >= u.id AND o.id <= u.id
			ORDER BY o.id
			LIMIT 1
		) AS p ON true
		CROSS JOIN LATERAL (
			SELECT o.organization_id
			FROM capydb_auth.memberships AS o
			WHERE o.user_id >= u.id AND o.user_id <= u.id AND (o.deleted_at IS NULL OR p.deleted_at IS NOT NULL)
			ORDER BY o.user_id
			LIMIT $2
		) AS m`

	changeCursor  = `SELECT capydb_auth.change_cursor($1)`
	skipChangeIDs = `SELECT capydb_auth.skip_change_ids($1)`
)

// ReadChanges gives the next changes of the feed behind an id, at most limit, in the
// order of commit; fewer mean that there are no more now. Reading on from the last id misses nothing. The error is a
// *DelayError while the database is unavailable; so it is of the methods below.
func (m *Mirrors) ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]FeedChange, error) {
	return queryAll[FeedChange](ctx, m, projectID, readChanges, after, limit)
}

// ChangesByID gives those of the changes that the feed has.
func (m *Mirrors) ChangesByID(ctx context.Context, projectID uuid.UUID, ids []int64) ([]FeedChange, error) {
	return queryAll[FeedChange](ctx, m, projectID, changesByID, ids)
}

// RecordStates gives, for each pair of a first and a last change of a record, that record as the
// changes up to asOf of the same index left it.
func (m *Mirrors) RecordStates(ctx context.Context, projectID uuid.UUID, first, last, asOf []int64) ([]RecordState, error) {
	return queryAll[RecordState](ctx, m, projectID, recordStates, first, last, asOf)
}

// LatestRows gives records of a type by id, each as its newest change left it. Those that the feed does not have are missing.
func (m *Mirrors) LatestRows(ctx context.Context, projectID uuid.UUID, t record.Type, ids []string) (map[string]json.RawMessage, error) {
	rows, err := queryAll[struct {
		ID  string
		Row json.RawMessage
	}](ctx, m, projectID, latestRows, t, ids)
	byID := make(map[string]json.RawMessage, len(rows))
	for _, r := range rows {
		byID[r.ID] = r.Row
	}
	return byID, err
}

// OrganizationsOf gives the ids of the organizations that users belong to, by the user's id: at most limit of each. Of a deleted
// user, these are all that it ever belonged to.
func (m *Mirrors) OrganizationsOf(ctx context.Context, projectID uuid.UUID, userIDs []string, limit int) (map[string][]string, error) {
	rows, err := queryAll[struct{ UserID, OrganizationID string }](ctx, m, projectID, organizationsOf, planned, userIDs, limit)
	byUser := make(map[string][]string)
	for _, r := range rows {
		byUser[r.UserID] = append(byUser[r.UserID], r.OrganizationID)
	}
	return byUser, err
}

// ChangeCursor says behind which id to read the changes that were committed since a
// time; zero: those that are still to come.
func (m *Mirrors) ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (id int64, err error) {
	var at *time.Time
	if !since.IsZero() {
		at = &since
	}
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		return l.pool.QueryRow(ctx, changeCursor, at).Scan(&id)
	})
	return id, err
}

// LatestChange is the id of a record's newest change; 0: there is none.
func (m *Mirrors) LatestChange(ctx context.Context, projectID uuid.UUID, ref record.Ref) (id int64, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		return l.pool.QueryRow(ctx, latestChange, ref.Type, ref.ID).Scan(&id)
	})
	return id, err
}

// SkipChangeIDs makes the ids of coming changes greater than one given. It is for a
// database that was restored from a copy: see the function of that name in sql/.
func (m *Mirrors) SkipChangeIDs(ctx context.Context, projectID uuid.UUID, to int64) error {
	return m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		_, err := l.pool.Exec(ctx, skipChangeIDs, to)
		return err
	})
}

// maxFeed is how many reads of a project's feed run at a time, so that however many
// destinations a project has, its events are applied without waiting for a connection.
const maxFeed = 2

func queryAll[T any](ctx context.Context, m *Mirrors, projectID uuid.UUID, sql string, args ...any) (all []T, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		select {
		case l.feed <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-l.feed }()
		all, err = collect[T](ctx, l.pool, sql, args...)
		return err
	})
	return all, err
}
