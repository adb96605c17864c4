package userapi

import (
	"context"
	"fmt"
)

// smallBody is how much of an answer anybody may hold: a page of 500 users with
// profiles of 4 kB.
const smallBody = 2 << 20

// Rooms bounds how many long answers a process holds at the same time, so that
// many sources may be read from at once without the memory for the longest
// answer of each.
type Rooms struct{ places chan struct{} }

// NewRooms makes room for so many long answers.
func NewRooms(n int) *Rooms { return &Rooms{places: make(chan struct{}, n)} }

// Room is what one page may take. It is used by one goroutine at a time.
type Room struct {
	rooms *Rooms
	held  bool
}

type roomKey struct{}

// With makes room for a page that is read with the context, until Release.
func (r *Rooms) With(ctx context.Context) (context.Context, *Room) {
	room := &Room{rooms: r}
	return context.WithValue(ctx, roomKey{}, room), room
}

// Release gives back what the page took.
func (r *Room) Release() {
	if r.held {
		r.held = false
		<-r.rooms.places
	}
}

// grow waits until there is room for a long answer. A context without a room has it.
func grow(ctx context.Context) error {
	room, bounded := ctx.Value(roomKey{}).(*Room)
	if !bounded || room.held {
		return nil
	}
	select {
	case room.rooms.places <- struct{}{}:
		room.held = true
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for room for a long answer: %w", context.Cause(ctx))
	}
}
