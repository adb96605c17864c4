package app

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/receiver"
)

// Message is a webhook as `authsync dev` shows it: what came, and what became of it.
type Message struct {
	receiver.Message

	// Events are those in the message, once their outcomes are known; none for a message
	// that was refused, or of which nothing became yet.
	Events []inbox.Event
}

const (
	// followed is how many messages may wait to be shown; beyond that some are left out.
	followed = 1000
	// followEvery is how often the outcomes of messages are asked for, at most maxAsked at once.
	followEvery = 50 * time.Millisecond
	maxAsked    = 100
	// patient is how long a message is waited for before it is shown as one that waits. It is
	// shown again with its outcomes, unless they take longer than maxFollowed.
	patient     = 10 * time.Second
	maxFollowed = 10 * time.Minute
)

// open is a message whose outcomes are not known.
type open struct {
	receiver.Message

	shown bool
}

// follower shows messages to a person, beside the receiver, which never waits for it.
type follower struct {
	messages chan receiver.Message
	on       atomic.Bool
	lost     atomic.Int64
}

func newFollower() *follower { return &follower{messages: make(chan receiver.Message, followed)} }

// observe is the receiver's Observe.
func (f *follower) observe(m receiver.Message) {
	if !f.on.Load() {
		return
	}
	select {
	case f.messages <- m:
	default:
		f.lost.Add(1)
	}
}

// Follow shows every message that comes from now on, accepted or refused, as soon as it is
// known what became of it, until ctx ends. Where more come than can be shown, lost hears how
// many were left out.
func (d *Dev) Follow(ctx context.Context, show func(Message), lost func(n int64)) {
	f := d.follower
	f.on.Store(true)
	defer f.on.Store(false)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var waiting []open
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-f.messages:
			if m.InboxID == 0 {
				show(Message{Message: m})
				continue
			}
			waiting = append(waiting, open{Message: m})
		case <-tick.C:
			waiting = d.showKnown(ctx, waiting, show)
			if more := len(waiting) - followed; more > 0 {
				f.lost.Add(int64(more))
				waiting = waiting[more:]
			}
			if n := f.lost.Swap(0); n > 0 {
				lost(n)
			}
		}
	}
}

// showKnown shows the messages whose events have outcomes, and once those that have waited
// long. It returns the ones without outcomes.
func (d *Dev) showKnown(ctx context.Context, waiting []open, show func(Message)) []open {
	if len(waiting) == 0 {
		return nil
	}
	asked := waiting[:min(len(waiting), maxAsked)]
	rest := slices.Clone(waiting[len(asked):]) // whose turn comes before that of those asked for
	events, err := d.outcomes(ctx, asked)
	if err != nil {
		d.log.DebugContext(ctx, "messages_not_followed", slog.Any("error", err))
	}
	for _, m := range asked {
		of := events[m.InboxID]
		waited := time.Since(m.ReceivedAt)
		switch pending := func(e inbox.Event) bool { return e.Outcome == inbox.Pending }; {
		case len(of) > 0 && !slices.ContainsFunc(of, pending):
			show(Message{m.Message, of})
			continue
		case waited > maxFollowed:
			continue
		case waited > patient && !m.shown:
			m.shown = true
			show(Message{m.Message, nil})
		}
		rest = append(rest, m)
	}
	return rest
}

// outcomes reads the events of messages.
func (d *Dev) outcomes(ctx context.Context, messages []open) (map[int64][]inbox.Event, error) {
	filter := inbox.Filter{From: messages[0].ReceivedAt}
	for _, m := range messages {
		filter.InboxIDs = append(filter.InboxIDs, m.InboxID)
		if m.ReceivedAt.Before(filter.From) {
			filter.From = m.ReceivedAt
		}
	}
	filter.From = filter.From.Add(-time.Second) // they are kept to the microsecond
	found := map[int64][]inbox.Event{}
	page, _, err := d.App.inbox.Events(ctx, filter, "", followed)
	for _, e := range slices.Backward(page) {
		found[e.InboxID] = append(found[e.InboxID], e)
	}
	return found, err
}

// ProjectName is the name of a project that dev knows; its id where it does not.
func (d *Dev) ProjectName(id uuid.UUID) string {
	if id == d.Demo.ID {
		return d.Demo.Name
	}
	return id.String()
}
