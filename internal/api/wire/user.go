package wire

import (
	"encoding/json"
	"time"
)

// User is a user's row in the mirror, and how it came to be. The row is served as the mirror
// has it and read as an object by its columns.
type User[Row any] struct {
	User    Row      `json:"user"`
	Sources []Source `json:"sources"`
	Changes []Change `json:"changes"`
	// NextCursor leads to older changes; nil: there are none.
	NextCursor *string `json:"next_cursor"`
}

// Source tells which event set the value of a column, and when by the provider's clock; nil
// where no event did.
type Source struct {
	Column  string     `json:"column"`
	EventID *string    `json:"event_id"`
	SetAt   *time.Time `json:"set_at"`
	SentAt  *time.Time `json:"sent_at"`
}

// Change is a row of the change feed.
type Change struct {
	ID        int64           `json:"id"`
	Kind      string          `json:"kind"`
	Changed   []string        `json:"changed"`
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
	Provider  string          `json:"provider"`
	EventID   string          `json:"event_id"`
	EventAt   time.Time       `json:"event_at"`
	ChangedAt time.Time       `json:"changed_at"`
}

// ListedUser is a user as lists show it.
type ListedUser struct {
	ID           string     `json:"id"`
	Email        *string    `json:"email"`
	FirstName    *string    `json:"first_name"`
	LastName     *string    `json:"last_name"`
	Username     *string    `json:"username"`
	CreatedAt    *time.Time `json:"created_at"`
	LastSignInAt *time.Time `json:"last_sign_in_at"`
	DeletedAt    *time.Time `json:"deleted_at"`
	Provider     *string    `json:"provider"` // nil for a placeholder
}

// Repair is what a refresh of one record found and did.
type Repair struct {
	RecordType string   `json:"record_type"`
	RecordID   string   `json:"record_id"`
	UserID     *string  `json:"user_id"` // that the record is, or whose membership it is
	Provider   string   `json:"provider"`
	Found      string   `json:"found"`
	Columns    []string `json:"columns"` // those that differed
	Done       string   `json:"done"`
	Note       *string  `json:"note"`
	EventID    string   `json:"event_id"`
}
