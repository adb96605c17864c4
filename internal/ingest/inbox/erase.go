package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider/payload"
)

// ErasedReason is the reason of events whose person was erased. Their outcomes keep neither ids nor what the reason was.
const ErasedReason = "the person whom it was about was erased"

// Person is who is erased from messages.
type Person struct {
	UserID string
	// IsLong: the id means the user wherever it stands; see mirror.IsLongID.
	IsLong bool
	// Emails are addresses that were the person's. Somebody else may have one of them by now.
	Emails []string
}

const (
	lockBody = `
		SELECT i.body FROM authsync.inbox AS i
		WHERE i.id = $1 AND i.received_at = $2 AND i.project_id = $3
		FOR NO KEY UPDATE`

	replaceBody = `
		UPDATE authsync.inbox SET body = $4 WHERE id = $1 AND received_at = $2 AND project_id = $3`
)

// EraseEvents replaces events of a message: those at the given ordinals, and any other that names one of the persons by its id. It
// keeps the row. It returns whether the message has changed; a message that retention has dropped has not.
func EraseEvents(ctx context.Context, tx pgx.Tx, m MessageRef, ordinals []int, persons ...Person) (changed bool, err error) {
	return rewrite(ctx, tx, m, func(place int, event []byte) bool {
		return slices.Contains(ordinals, place) || slices.ContainsFunc(persons, func(p Person) bool {
			return payload.Mentions(event, p.UserID, p.IsLong, nil)
		})
	})
}

// EraseMentions replaces events of a message that name the person in any way.
func EraseMentions(ctx context.Context, tx pgx.Tx, m MessageRef, p Person) (changed bool, err error) {
	return rewrite(ctx, tx, m, func(_ int, event []byte) bool {
		return payload.Mentions(event, p.UserID, p.IsLong, p.Emails)
	})
}

// MessageRef names a message by its partition's key.
type MessageRef struct {
	ProjectID  uuid.UUID
	InboxID    int64
	ReceivedAt time.Time
}

func rewrite(ctx context.Context, tx pgx.Tx, m MessageRef, isHis func(int, []byte) bool) (changed bool, err error) {
	var body []byte
	err = tx.QueryRow(ctx, lockBody, m.InboxID, m.ReceivedAt, m.ProjectID).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the body of a message: %w", err)
	}
	rest, erased := payload.Erase(body, isHis)
	if erased == 0 {
		return false, nil
	}
	if _, err := tx.Exec(ctx, replaceBody, m.InboxID, m.ReceivedAt, m.ProjectID, rest); err != nil {
		return false, fmt.Errorf("rewrite the body of a message: %w", err)
	}
	return true, nil
}
