package delivery

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/destination"
)

const (
	// deepAfter is the number of deliveries of one user in a run after which more are expected.
	deepAfter = 8
	// readAheadPerUser and readAheadBytes limit the read-ahead, per user and in total.
	readAheadPerUser = 100
	readAheadBytes   = 8 << 20
)

// readAhead holds messages that will be sent soon. The row after a change is computed from today's row by
// undoing all later changes, so a user with thousands of pending changes would cost thousands of steps for
// each of them. One pass yields many. It is used for events only, whose messages later changes never alter.
type readAhead struct {
	seen     map[string]int // loaded deliveries per user
	messages map[int64]destination.Message
	bytes    int
}

// take removes and returns the message of a change, if it was read ahead.
func (a *readAhead) take(changeID int64) (m destination.Message, ok bool) {
	if m, ok = a.messages[changeID]; ok {
		delete(a.messages, changeID)
		a.bytes -= messageSize(&m)
	}
	return m, ok
}

func (a *readAhead) keep(m destination.Message) {
	if a.messages == nil {
		a.messages = make(map[int64]destination.Message)
	}
	a.messages[m.ChangeID] = m
	a.bytes += messageSize(&m)
}

// see counts a delivery of a user and reports whether the user has had many.
func (a *readAhead) see(userID string) (isDeep bool) {
	if a.seen == nil {
		a.seen = make(map[string]int)
	}
	a.seen[userID]++
	return a.seen[userID] > deepAfter
}

// messageSize approximates the memory used by a message.
func messageSize(m *destination.Message) int { return len(m.User) + len(m.Before) }

const heldChanges = `SELECT * FROM authsync.blocked_changes($1, $2, $3)`

// events returns messages by change, and reads ahead.
func (p *pipe) events(ctx context.Context, chunk []readyDelivery) (map[int64]destination.Message, error) {
	messages := make(map[int64]destination.Message, len(chunk))
	var ids []int64
	var deep []string
	for i := range chunk {
		isDeep := p.readAhead.see(chunk[i].UserID)
		if m, ok := p.readAhead.take(chunk[i].ChangeID); ok {
			messages[m.ChangeID] = m
			continue
		}
		ids = append(ids, chunk[i].ChangeID)
		if isDeep {
			deep = append(deep, chunk[i].UserID)
		}
	}
	if len(ids) == 0 {
		return messages, nil
	}
	next, err := p.next(ctx, deep)
	if err != nil {
		return nil, err
	}
	read, err := p.eventMessages(ctx, p.id, chunk[0].ProjectID, append(ids, next...))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if m, ok := read[id]; ok {
			messages[id] = m
			delete(read, id)
		}
	}
	for _, m := range read {
		p.readAhead.keep(m)
	}
	return messages, nil
}

// next returns the changes to read ahead, for as many users as fit.
func (p *pipe) next(ctx context.Context, users []string) ([]int64, error) {
	room := (readAheadBytes - p.readAhead.bytes) / max(p.messageBytes, 1)
	of := min(readAheadPerUser, room)
	if of <= 0 || len(users) == 0 {
		return nil, nil
	}
	users = users[:min(len(users), max(room/of, 1))]
	rows, err := p.config.Pool.Query(ctx, heldChanges, p.id, users, of)
	if err != nil {
		return nil, fmt.Errorf("read ahead: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("read ahead: %w", err)
	}
	return ids, nil
}
