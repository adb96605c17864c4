package mirror_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// columns are the mirrored columns other than raw, in the table's order.
func columns() []record.Column {
	return []record.Column{
		record.Email, record.FirstName, record.LastName, record.Username, record.ImageURL,
		record.CreatedAt, record.UpdatedAt, record.LastSignInAt, record.DeletedAt,
	}
}

// row is a user as model and table are compared: column → value, "raw" among them.
type row map[string]string

// statement is what an event says of a column.
type statement struct {
	version    version
	receivedAt time.Time
	unclocked  bool
	value      *string
}

// recordKey is the id of a user, or type and id of another record.
func recordKey(e mirror.Event) string {
	if ref := e.Record(); ref.Type != record.User {
		return string(ref.Type) + ":" + ref.ID
	}
	return e.UserID
}

// statements are what an event says, by "record.column".
func statements(e mirror.Event) map[string]statement {
	said := make(map[string]statement)
	profile := statement{version: version{e.At, e.SentAt, e.ID}, receivedAt: e.ReceivedAt, unclocked: e.AtIsReceipt}
	life := profile
	if !e.DeletedClock.IsZero() {
		life.version.at, life.unclocked = e.DeletedClock, e.DeletedClockIsReceipt
	}
	for column, value := range e.Fields {
		s := profile
		if column == record.DeletedAt {
			s = life
		}
		s.value = value
		said[recordKey(e)+"."+string(column)] = s
	}
	if e.Raw != nil {
		raw := string(e.Raw)
		profile.value = &raw
		said[recordKey(e)+".raw"] = profile
	}
	return said
}

// shown is the ordering rule in Go: of each column the statement with the greatest
// version; but what was received last without a clock is newer than that if it was received
// later, or its receipt is later than the other's clock.
func shown(events []mirror.Event) map[string]statement {
	clocked, unclocked := make(map[string]statement), make(map[string]statement)
	for _, e := range events {
		for column, s := range statements(e) {
			if s.unclocked {
				if held, ok := unclocked[column]; !ok || s.receivedAt.After(held.receivedAt) {
					unclocked[column] = s
				}
			} else if held, ok := clocked[column]; !ok || s.version.after(held.version) {
				clocked[column] = s
			}
		}
	}
	for column, u := range unclocked {
		c, ok := clocked[column]
		if !ok || u.receivedAt.After(c.receivedAt) || u.receivedAt.After(c.version.at) {
			clocked[column] = u
		}
	}
	return clocked
}

// model is the users that are shown; an absent key is NULL.
func model(events []mirror.Event) map[string]row {
	users := make(map[string]row)
	for _, e := range events {
		users[e.UserID] = row{}
	}
	for column, s := range shown(events) {
		if user, name, _ := strings.Cut(column, "."); s.value != nil {
			users[user][name] = *s.value
		}
	}
	return users
}

type version struct {
	at, sentAt time.Time
	id         string
}

func (v version) after(w version) bool {
	if c := v.at.Compare(w.at); c != 0 {
		return c > 0
	}
	if c := v.sentAt.Compare(w.sentAt); c != 0 {
		return c > 0
	}
	return v.id > w.id
}

// instants are few, so that ties and late events are common; some are over a minute apart.
func instant() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		second := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 63, 64, 122}).Draw(t, "second")
		return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)
	})
}

// clock draws the clock of an event: its sender's, which may be up to a minute ahead of
// the receipt, or none.
func clock(t *rapid.T, label string, receivedAt time.Time) (at time.Time, isReceipt bool) {
	if rapid.IntRange(0, 3).Draw(t, label+" or none") == 0 {
		return receivedAt, true
	}
	if at = instant().Draw(t, label); at.After(receivedAt.Add(time.Minute)) {
		at = receivedAt.Add(time.Minute)
	}
	return at, false
}

// history draws up to 30 events about up to three users whose ids begin with prefix.
func history(prefix string) *rapid.Generator[[]mirror.Event] {
	return rapid.Custom(func(t *rapid.T) []mirror.Event {
		events := make([]mirror.Event, rapid.IntRange(1, 30).Draw(t, "events"))
		for i := range events {
			events[i] = event(t, prefix, i)
		}
		return events
	})
}

func event(t *rapid.T, prefix string, i int) mirror.Event {
	e := mirror.Event{Provider: provider.Auth0, InboxID: int64(i)}
	e.ReceivedAt = instant().Draw(t, "received").Add(time.Duration(i+1) * time.Millisecond) // each its own
	e.ID = fmt.Sprintf("%s-evt-%02d", prefix, rapid.IntRange(0, 99).Draw(t, "id")*100+i)
	e.UserID = prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user")
	e.SentAt = instant().Draw(t, "sent_at")
	e.Fields = provider.Fields{}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		e.Type = "user.deleted"
		e.DeletedClock, e.DeletedClockIsReceipt = clock(t, "deleted", e.ReceivedAt)
		text := e.DeletedClock.Truncate(time.Second).Format(time.RFC3339)
		e.Fields[record.DeletedAt] = &text
		if rapid.Bool().Draw(t, "without profile") {
			return e
		}
	} else {
		e.Type = "user.updated"
		e.Fields[record.DeletedAt] = nil
	}
	e.At, e.AtIsReceipt = clock(t, "at", e.ReceivedAt)
	e.NoLedger = rapid.Bool().Draw(t, "read by authsync itself")
	for _, c := range columns() {
		if c == record.DeletedAt || !rapid.Bool().Draw(t, "says "+string(c)) {
			continue
		}
		e.Fields[c] = nil
		if rapid.Bool().Draw(t, "value") {
			text := fmt.Sprintf("%s of %s", c, e.ID)
			switch c {
			case record.CreatedAt, record.UpdatedAt, record.LastSignInAt:
				text = instant().Draw(t, string(c)).Format(time.RFC3339)
			default:
			}
			e.Fields[c] = &text
		}
	}
	if rapid.Bool().Draw(t, "says raw") {
		e.Raw = json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))
	}
	return e
}

// shuffled draws the events in another order, some of them several times: as a
// repetition by the sender (another delivery) or by the worker (the same one).
func shuffled(events []mirror.Event) *rapid.Generator[[]mirror.Event] {
	return rapid.Custom(func(t *rapid.T) []mirror.Event {
		all := append([]mirror.Event(nil), events...)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(events)-1), 0, 10).Draw(t, "repeated") {
			again := events[i]
			if rapid.Bool().Draw(t, "another delivery") {
				again.InboxID += 1000
			}
			all = append(all, again)
		}
		return rapid.Permutation(all).Draw(t, "order")
	})
}

// cut draws how the events are cut into batches.
func cut(t *rapid.T, events []mirror.Event) [][]mirror.Event {
	var batches [][]mirror.Event
	for len(events) > 0 {
		n := rapid.IntRange(1, len(events)).Draw(t, "batch")
		batches, events = append(batches, events[:n]), events[n:]
	}
	return batches
}

// prefixes gives every run of a property its own users, so that all can share a database.
type prefixes struct {
	mu sync.Mutex
	n  int
}

func (p *prefixes) next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	return fmt.Sprintf("p%d-", p.n)
}
