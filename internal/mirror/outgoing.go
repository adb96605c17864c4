package mirror

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// FeedChange is a change of the feed with the whole row as it left it, User, and as it
// was before; Before is nil where the user was new. Both are objects with one key a
// column that comes from the provider.
type FeedChange struct {
	ID           int64
	UserID       string
	Kind         string
	Changed      []string
	User, Before json.RawMessage
	Provider     string
	EventID      string
	EventAt      time.Time
	ChangedAt    time.Time
}

// UserState is a user as of a change, and as it was before the first of some changes.
type UserState struct {
	LastID       int64 // the last of these changes; Provider to ChangedAt are its own
	UserID       string
	User, Before json.RawMessage
	Provider     string
	EventID      string
	EventAt      time.Time
	ChangedAt    time.Time
}

const (
	feedColumns = `id, user_id, kind, changed, user_row AS "user", before_row AS before, provider, event_id, event_at, changed_at`

	readChanges = `SELECT ` + feedColumns + ` FROM capydb_auth.read_changes($1, $2)`
	changesByID = `SELECT ` + feedColumns + ` FROM capydb_auth.changes_by_id($1) ORDER BY id`

	userStates = `
		SELECT id AS last_id, user_id, user_row AS "user", before_row AS before, provider, event_id, event_at, changed_at
		FROM capydb_auth.user_states($1, $2, $3)`

	// By all columns of the index, so that no plan can walk through the feed by id.
	latestChange = `
		SELECT coalesce((
			SELECT c.id
			FROM capydb_auth.changes AS c
			WHERE (c.record_type, c.record_id, c.id) >= ('user', $1, 0)
			  AND (c.record_type, c.record_id, c.id) <= ('user', $1, 9223372036854775807)
			ORDER BY c.record_type DESC, c.record_id DESC, c.id DESC
			LIMIT 1
		), 0)`

	changeCursor  = `SELECT capydb_auth.change_cursor($1)`
	skipChangeIDs = `SELECT capydb_auth.skip_change_ids($1)`
)

// ReadChanges gives the next changes of the feed behind an id, at most limit, in the
// order of commit. Reading on from the last id misses nothing. The error is a
// *DelayError while the database is away; so it is of the methods below.
func (m *Mirrors) ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]FeedChange, error) {
	return queryAll[FeedChange](ctx, m, projectID, readChanges, after, limit)
}

// ChangesByID gives those of the changes that the feed has.
func (m *Mirrors) ChangesByID(ctx context.Context, projectID uuid.UUID, ids []int64) ([]FeedChange, error) {
	return queryAll[FeedChange](ctx, m, projectID, changesByID, ids)
}

// UserStates gives, for each pair of a first and a last change of a user, that user as the
// changes up to asOf left it.
func (m *Mirrors) UserStates(ctx context.Context, projectID uuid.UUID, first, last []int64, asOf int64) ([]UserState, error) {
	return queryAll[UserState](ctx, m, projectID, userStates, first, last, asOf)
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

// LatestChange is the id of a user's newest change; 0: there is none.
func (m *Mirrors) LatestChange(ctx context.Context, projectID uuid.UUID, userID string) (id int64, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		return l.pool.QueryRow(ctx, latestChange, userID).Scan(&id)
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
