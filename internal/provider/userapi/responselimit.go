package userapi

import (
	"context"
	"fmt"
)

// smallBody is how much of an answer needs no slot: a page of 500 users with profiles of 4 kB.
const smallBody = 2 << 20

// ResponseLimit limits the number of long answers that a process holds at the same time, so that
// many sources can be read without the memory for the longest answer of each.
type ResponseLimit struct{ places chan struct{} }

// NewResponseLimit allows n long answers.
func NewResponseLimit(n int) *ResponseLimit { return &ResponseLimit{places: make(chan struct{}, n)} }

// ResponseSlot is the slot that one page may take. One goroutine uses it at a time.
type ResponseSlot struct {
	limit *ResponseLimit
	held  bool
}

type slotKey struct{}

// With provides a slot to the page read with the returned context, until Release.
func (r *ResponseLimit) With(ctx context.Context) (context.Context, *ResponseSlot) {
	slot := &ResponseSlot{limit: r}
	return context.WithValue(ctx, slotKey{}, slot), slot
}

// Release returns the slot if the page took one.
func (r *ResponseSlot) Release() {
	if r.held {
		r.held = false
		<-r.limit.places
	}
}

// grow waits for a slot for a long response. A context without a limit needs none.
func grow(ctx context.Context) error {
	slot, bounded := ctx.Value(slotKey{}).(*ResponseSlot)
	if !bounded || slot.held {
		return nil
	}
	select {
	case slot.limit.places <- struct{}{}:
		slot.held = true
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a slot for a long response: %w", context.Cause(ctx))
	}
}
