package auth0

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/sse"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	// maxMessage is the maximum length of a message of the stream: that of a webhook's body and what
	// is around it.
	maxMessage = 1<<20 + 4<<10
	// pieceSize is how much is read at once, and so how much is stored in one commit at most, beside
	// one message that began before.
	pieceSize = 64 << 10
	// maxCursor is the maximum length of an offset, as Auth0's definition has it.
	maxCursor = 1024
)

// errEnded means that the server ended the connection on purpose.
var errEnded = errors.New("the connection was ended")

// streamTiming limits what the decoder cannot: message is how long one may take to arrive.
type streamTiming struct{ message time.Duration }

// follower reads one connection. What comes:
//
//	:connected, : heartbeat       comments: the connection lives
//	retry: 2000                   how long to wait before the next connection
//	event: <type>, id, data       {"offset", "event": {the envelope of a webhook}}
//	event: offset-only, id, data  {"offset"}: nothing happened up to there
//	event: error, data            {"error": {"code", "message", "offset"?}}, and the end
//
// All messages of a piece are one batch, so that a backlog needs few commits, and none waits for one
// that has not arrived.
type follower struct {
	source  *eventSource
	decoder sse.Decoder
	to      userapi.EventSink
	began   time.Time // when the unfinished message began to arrive; zero if there is none
}

func (s *eventSource) newFollower(to userapi.EventSink) *follower {
	return &follower{source: s, decoder: sse.Decoder{Limit: maxMessage}, to: to}
}

func (f *follower) read(ctx context.Context, stream io.Reader) error {
	piece := make([]byte, pieceSize)
	for {
		n, readErr := stream.Read(piece)
		if err := f.take(ctx, piece[:n]); err != nil {
			if errors.Is(err, errEnded) {
				return nil
			}
			return err
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil
		case readErr != nil:
			return fault.Newf(fault.ProviderUnavailable, "the connection to Auth0's Events API broke: %v", readErr)
		}
	}
}

// take passes on the messages that a piece completes.
func (f *follower) take(ctx context.Context, piece []byte) error {
	events, endless := f.decoder.Feed(piece)
	var batch userapi.EventBatch
	for i := range events {
		err := f.add(&batch, &events[i])
		if err == nil {
			continue
		}
		if passErr := f.pass(ctx, batch); passErr != nil { // what came before it
			return passErr
		}
		return err
	}
	if err := f.pass(ctx, batch); err != nil {
		return err
	}
	if endless != nil {
		return f.lost(f.decoder.ID(), "an event is endless")
	}
	return f.checkDrip()
}

func (f *follower) pass(ctx context.Context, batch userapi.EventBatch) error {
	if batch.Cursor == "" && len(batch.Bodies) == 0 {
		return nil
	}
	return f.to.Take(ctx, batch)
}

// checkDrip ends a connection on which a message arrives too slowly. A silent one ends by itself.
func (f *follower) checkDrip() error {
	now := f.source.client.Now()
	switch {
	case !f.decoder.Unfinished():
		f.began = time.Time{}
	case f.began.IsZero():
		f.began = now
	case now.Sub(f.began) > f.source.timing.message:
		return fault.Newf(fault.ProviderUnavailable, "a message of Auth0's Events API did not arrive within %s", f.source.timing.message)
	}
	return nil
}

// add adds a message to a batch, or returns how the connection ends.
func (f *follower) add(batch *userapi.EventBatch, e *sse.Event) error {
	f.began = time.Time{}
	if e.TooLong {
		return f.lost(e.ID, "an event is too large")
	}
	var m message
	if len(e.Data) > 0 && json.Unmarshal(e.Data, &m) != nil {
		if e.Type == "error" {
			return fault.New(fault.ProviderUnavailable, "Auth0 ends the connection to its Events API, for a reason that cannot be read")
		}
		m = message{Event: e.Data} // it is stored, and fails where people see it
	}
	if e.Type == "error" {
		if m.Error == nil {
			m.Error = &streamError{Code: "unknown"}
		}
		if err := f.source.fault(m.Error); err != nil {
			return err
		}
		return errEnded
	}
	cursor := e.ID
	if cursor == "" {
		cursor = m.Offset
	}
	if !isCursor(cursor) {
		return fault.Newf(fault.ProviderError, "Auth0's Events API gives an offset that is none: at most %d visible characters are taken", maxCursor)
	}
	if cursor != "" {
		batch.Cursor = cursor
	}
	if len(m.Event) > 0 && !bytes.Equal(m.Event, []byte("null")) {
		batch.Bodies = append(batch.Bodies, m.Event)
	}
	return nil
}

func (f *follower) lost(id, what string) error {
	if !isCursor(id) {
		id = ""
	}
	return &userapi.LostError{Reason: fmt.Sprintf("%s: at most %d bytes are taken, so it was left out", what, maxMessage), Cursor: id}
}

// isCursor reports whether an offset can be sent back in a header.
func isCursor(offset string) bool {
	return len(offset) <= maxCursor && strings.Trim(offset, " ") == offset &&
		!strings.ContainsFunc(offset, func(r rune) bool { return r < ' ' || r > '~' })
}
