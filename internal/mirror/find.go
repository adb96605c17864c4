package mirror

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Listed is a user as lists show it.
type Listed struct {
	ID           string
	Email        *string
	FirstName    *string
	LastName     *string
	Username     *string
	CreatedAt    *time.Time
	LastSignInAt *time.Time
	DeletedAt    *time.Time
	Provider     *string // nil for a placeholder
}

const (
	listed = `SELECT id, email, first_name, last_name, username, created_at, last_sign_in_at, deleted_at, provider
		FROM capydb_auth.users`

	selectUsers = listed + ` WHERE id > $1 ORDER BY id LIMIT $2`

	// As selectRecords has it.
	selectUsersByEmail = listed + ` WHERE lower(email) >= lower($3) AND lower(email) <= lower($3) AND (lower(email), id) > (lower($3), $1)
		ORDER BY lower(email), id LIMIT $2`
)

// List reads users by id, those behind after, at most limit. Given an address of e-mail, only those
// with that one, whatever the case of its letters; deleted ones too.
func (m *Mirrors) List(ctx context.Context, projectID uuid.UUID, email, after string, limit int) ([]Listed, error) {
	t, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, err
	}
	if err := t.install(ctx); err != nil {
		return nil, err
	}
	query, args := selectUsers, []any{after, limit}
	if email != "" {
		query, args = selectUsersByEmail, append(args, email)
	}
	users, err := inOrder[Listed](ctx, t, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list the users of the mirror: %w", err)
	}
	return users, nil
}
