// Package retention says how long each part of a project's history is kept: what the project sets, what the server's
// configuration has for all others, and what is needed for a repeated event to stay harmless.
//
//	messages     authsync.inbox and authsync.event_outcomes    ─ days, dropped as partitions
//	deliveries   authsync.deliveries, finished ones            ─ rows, by finished_at
//	ledger       capydb_auth.processed_events                  ─ rows, by processed_at
//	changes      capydb_auth.changes                           ─ rows, compacted to the newest of each record
//
// It only computes: packages inbox, upkeep and mirrorprune delete. The same rules are computed in SQL, where rows of many
// projects are chosen, by authsync.inbox_keep.
package retention

import (
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
)

// Part is a part of a project's history.
type Part string

// The parts.
const (
	Inbox      Part = "inbox" // messages, and the outcomes of their events
	Ledger     Part = "ledger"
	Changes    Part = "changes"
	Deliveries Part = "deliveries"
)

// Parts lists them in the order in which they are shown.
func Parts() []Part { return []Part{Inbox, Ledger, Changes, Deliveries} }

// The limits of what a project may set, in days. A server may be configured for more.
const (
	MinDays = 1
	// MaxInboxDays bounds the number of partitions, which every search of the inbox plans for.
	MaxInboxDays = 400
	MaxDays      = 3650
)

// RetryDays is how long a provider may repeat a message by itself: Svix gives up an endpoint after five days of failures,
// Auth0 pauses a log stream after seven. Somebody may resend older ones by hand; versions decide those.
const RetryDays = 7

const day = 24 * time.Hour

// Settings are the days that a project sets; nil: the server's default.
type Settings struct {
	Inbox, Ledger, Changes, Deliveries *int
}

// Of is the setting of a part.
func (s *Settings) Of(p Part) **int {
	switch p {
	case Inbox:
		return &s.Inbox
	case Ledger:
		return &s.Ledger
	case Changes:
		return &s.Changes
	default:
		return &s.Deliveries
	}
}

// Defaults are how long a server keeps what a project has no setting for; 0 means forever.
type Defaults struct {
	Inbox, Ledger, Changes, Deliveries time.Duration
}

func (d Defaults) of(p Part) time.Duration {
	switch p {
	case Inbox:
		return d.Inbox
	case Ledger:
		return d.Ledger
	case Changes:
		return d.Changes
	default:
		return d.Deliveries
	}
}

// Where a period comes from.
const (
	FromProject = "project"
	FromServer  = "server"
	// Raised: the server's default would be too short for what the ledger is needed for.
	Raised = "raised"
)

// Period is how long a part is kept.
type Period struct {
	Keep   time.Duration // 0: forever
	Source string        // FromProject, FromServer or Raised
}

// Days is the period in days, rounded up; 0: forever.
func (p Period) Days() int { return int((p.Keep + day - 1) / day) }

// Before returns the time before which rows are past the period; the zero time, before which there is nothing, if they are
// kept forever.
func (p Period) Before(now time.Time) time.Time {
	if p.Keep <= 0 {
		return time.Time{}
	}
	return now.Add(-p.Keep)
}

// Effective is how long a part is kept with these settings. The ledger's period is raised to what is needed; see Needed.
func (s *Settings) Effective(d Defaults, p Part) Period {
	period := Period{d.of(p), FromServer}
	if days := *s.Of(p); days != nil {
		period = Period{time.Duration(*days) * day, FromProject}
	}
	if p != Ledger || period.Keep == 0 {
		return period
	}
	if needed := s.Needed(d); needed == 0 || needed > period.Keep {
		return Period{needed, Raised}
	}
	return period
}

// Needed is how long the ledger must be kept at least: as long as a message can be replayed from the inbox, and as long as a
// provider repeats one by itself. 0: forever.
func (s *Settings) Needed(d Defaults) time.Duration {
	inbox := s.Effective(d, Inbox).Keep
	if inbox == 0 {
		return 0
	}
	return max(inbox, RetryDays*day)
}

// Check returns a fault.Invalid about the first setting that cannot be.
func (s *Settings) Check(d Defaults) error {
	for _, p := range Parts() {
		limit := MaxDays
		if p == Inbox {
			limit = MaxInboxDays
		}
		if days := *s.Of(p); days != nil && (*days < MinDays || *days > limit) {
			return fault.At(field(p), "keep_days.%s is %d: must be %d to %d days, or null for the server's default", p, *days, MinDays, limit)
		}
	}
	if s.Ledger == nil {
		return nil
	}
	needed := s.Needed(d)
	switch kept := time.Duration(*s.Ledger) * day; {
	case needed == 0:
		return fault.At(field(Ledger), "keep_days.ledger is %d, but messages are kept forever and can be replayed: leave it out, "+
			"or set keep_days.inbox as well", *s.Ledger)
	case kept < needed:
		return fault.At(field(Ledger), "keep_days.ledger is %d: must be at least %d, because a message can be replayed from the inbox for %d days and "+
			"a provider may repeat one for %d", *s.Ledger, Period{Keep: needed}.Days(), s.Effective(d, Inbox).Days(), RetryDays)
	}
	return nil
}

func field(p Part) string { return "keep_days." + string(p) }

// Known reports whether there is a part of this name; the error lists those there are.
func Known(name string) (Part, error) {
	if p := Part(name); slices.Contains(Parts(), p) {
		return p, nil
	}
	names := make([]string, 0, len(Parts()))
	for _, p := range Parts() {
		names = append(names, string(p))
	}
	return "", fault.At("keep_days", "keep_days has %.60q: must be one of %s", name, strings.Join(names, ", "))
}
