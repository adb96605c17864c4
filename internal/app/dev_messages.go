package app

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
)

// Message is a webhook as shown by `authsync dev`, with the outcomes of its events.
type Message struct {
	receiver.Message

	// Tally counts the events in the message, once their outcomes are known; nil if it was rejected
	// or is pending.
	Tally *inbox.Tally
	// Others is the number of earlier requests for unknown projects that are not shown.
	Others int64
}

const (
	// followed is the maximum number of messages waiting to be shown; further ones are dropped.
	followed = 1000
	// followEvery is the polling interval for outcomes, at most maxLookedUp at once.
	followEvery = 50 * time.Millisecond
	maxLookedUp = 100
	// maxBetween is the maximum polling interval for one message.
	maxBetween = time.Second
	// patient is how long a message may take before it is shown as pending. It is shown again with
	// its outcomes, unless they take longer than maxFollowed.
	patient     = 10 * time.Second
	maxFollowed = 10 * time.Minute
)

// open is a message whose outcomes are unknown.
type open struct {
	receiver.Message

	shown bool
	asked time.Time
}

// due reports whether to poll a message again: the interval grows with its age.
func (m *open) due(now time.Time) bool {
	return now.Sub(m.asked) >= min(now.Sub(m.ReceivedAt)/10, maxBetween)
}

// follower shows messages to a person. The receiver never waits for it.
type follower struct {
	messages chan receiver.Message
	on       atomic.Bool
	lost     atomic.Int64
	missed   missed // for unknown projects
}

func newFollower() *follower {
	return &follower{messages: make(chan receiver.Message, followed), missed: missed{now: time.Now}}
}

// observe implements the receiver's Observe.
func (f *follower) observe(m receiver.Message) {
	if !f.on.Load() || m.ProjectID == uuid.Nil && !f.missed.take(m) {
		return
	}
	select {
	case f.messages <- m:
	default:
		f.lost.Add(1)
	}
}

// Follow shows every new message, accepted or rejected, once its outcomes are known, until ctx
// ends; of requests for unknown projects, the newest once a second. If there are too many to show,
// lost receives the number dropped.
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
			if m, due := f.missed.held(); due {
				show(m)
			}
		}
	}
}

// showKnown shows the messages whose outcomes are known, and once those that have been pending for
// long. It returns the ones without outcomes.
func (d *Dev) showKnown(ctx context.Context, waiting []open, show func(Message)) []open {
	var asked, rest []open // the rest gets its turn before those just polled
	now := time.Now()
	for _, m := range waiting {
		if len(asked) < maxLookedUp && m.due(now) {
			m.asked = now
			asked = append(asked, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(asked) == 0 {
		return rest
	}
	tallies, err := d.tallies(ctx, asked)
	if err != nil {
		d.log.DebugContext(ctx, "messages_not_followed", slog.Any("error", err))
	}
	for _, m := range asked {
		tally, known := tallies[m.InboxID]
		waited := now.Sub(m.ReceivedAt)
		switch pending := func(o inbox.OutcomeTally) bool { return o.Outcome == inbox.Pending }; {
		case known && !slices.ContainsFunc(tally.Outcomes, pending):
			show(Message{Message: m.Message, Tally: &tally})
			continue
		case waited > maxFollowed:
			continue
		case waited > patient && !m.shown:
			m.shown = true
			show(Message{Message: m.Message})
		}
		rest = append(rest, m)
	}
	return rest
}

// tallies counts the events of messages.
func (d *Dev) tallies(ctx context.Context, messages []open) (map[int64]inbox.Tally, error) {
	var ids []int64
	from := messages[0].ReceivedAt
	for _, m := range messages {
		ids = append(ids, m.InboxID)
		if m.ReceivedAt.Before(from) {
			from = m.ReceivedAt
		}
	}
	return d.App.inbox.Tallies(ctx, ids, from.Add(-time.Second)) // times are kept to the microsecond
}

// ProjectName returns the name of a project, its id if the name is unknown, or "" for none.
func (d *Dev) ProjectName(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	if id == d.Demo.ID {
		return d.Demo.Name
	}
	return id.String()
}
