package syncrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// society is an account whose users, organizations and memberships come, change and go.
type society interface {
	source.Accounts
	// setStep lets a function be called before each answer; nil: none.
	setStep(step func())
	has(of record.Type, id string) bool
	// put makes or changes a record, and gives the webhooks that tell of it.
	put(of record.Type, id, value string) []mirror.Event
	// remove deletes one, and the memberships that belong to it, of which no webhook of their own tells.
	remove(of record.Type, id string) []mirror.Event
	// restore brings an organization back, and edit changes a record, of which neither webhook nor clock tell.
	restore(id, value string)
	edit(of record.Type, id, value string)
	// truth is what the account has: users and organizations by name, memberships by their roles.
	truth() map[string]string
	// comesBackNew reports whether a record that is made again is in the mirror as it is there, without what
	// it had before it ended.
	comesBackNew(of record.Type) bool
	// settle waits until every answer knows of all that has happened.
	settle()
}

// timeline gives each change a time of its own, in milliseconds, that is not before the change.
type timeline struct{ last time.Time }

func (l *timeline) stamp() time.Time {
	begun := time.Now()
	for {
		if now := time.Now().UTC().Truncate(time.Millisecond); now.After(l.last) && now.After(begun) {
			l.last = now
			return now
		}
		runtime.Gosched()
	}
}

// webhook decodes what a provider sends at a time.
func webhook(kind provider.Provider, at time.Time, body map[string]any) mirror.Event {
	d := provider.Message{InboxID: at.UnixMilli(), MessageID: fmt.Sprint("msg_", at.UnixMilli()), ReceivedAt: at.Add(time.Millisecond), Body: marshal(body)}
	e := kind.Decode(d, provider.Options{})[0]
	if e.Verdict != provider.Apply {
		panic(e.Reason)
	}
	return mirror.Event{Event: e, Provider: kind.Name(), InboxID: d.InboxID, ReceivedAt: d.ReceivedAt}
}

// objects are those of a society by their types and ids. No object is changed in place.
type objects map[record.Type]map[string]map[string]any

func (o objects) clone() objects {
	c := objects{}
	for of, all := range o {
		c[of] = maps.Clone(all)
	}
	return c
}

// dialect is the form of a provider's objects and webhooks.
type dialect interface {
	provider.Provider
	provider.Importer
	// object is the object of a record, value one of its text columns; at is when it was changed.
	object(of record.Type, id, value string, at time.Time) map[string]any
	value(of record.Type, object map[string]any) string
	// saysPut tells of each step by which a record became what it is: before is nil for a new one. step
	// gives the time of the next one, and shows the account as it is then.
	saysPut(of record.Type, id string, before map[string]any, value string, step func(object map[string]any) time.Time) []mirror.Event
	saysRemoved(of record.Type, id string, before map[string]any, stamp func() time.Time) []mirror.Event
	comesBackNew(of record.Type) bool
}

// memory is a society in memory, whose answers about anything but users may lag.
type memory struct {
	dialect

	mu      sync.Mutex
	now     objects
	line    timeline
	history []moment
	step    func()
	// lag is how far answers lag at most, behind by how many changes, in turn.
	lag    time.Duration
	behind []int
	asked  int
}

// moment is what the society was from a time on.
type moment struct {
	since time.Time
	all   objects
}

func newMemory(d dialect, lag time.Duration, behind []int) *memory {
	return &memory{dialect: d, now: objects{record.User: {}, record.Organization: {}, record.Membership: {}}, lag: lag, behind: append(behind, 0)}
}

// lagging is a memory whose source says that it lags.
type lagging struct{ *memory }

func (l lagging) Lag(t record.Type) time.Duration {
	if t == record.User {
		return 0
	}
	return l.lag
}

func (m *memory) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	return source.Account{Source: lagging{m}, Importer: m.dialect, Alone: true}, nil
}

func (m *memory) setStep(step func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step = step
}

// answer lets something happen, and then gives what an answer shows and the time that it is of.
func (m *memory) answer(of record.Type) (map[string]map[string]any, time.Time) {
	m.mu.Lock()
	step := m.step
	m.mu.Unlock()
	if step != nil {
		step()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	asOf := time.Now()
	if of == record.User {
		return m.now[of], asOf
	}
	asOf = asOf.Add(-m.lag)
	m.asked++
	at := len(m.history) - 1
	for n := m.behind[m.asked%len(m.behind)]; n > 0 && at > 0 && m.history[at].since.After(asOf); n-- {
		at--
	}
	if at < 0 {
		return m.now[of], asOf
	}
	return m.history[at].all[of], asOf
}

func (m *memory) Count(context.Context) (int64, bool, error) {
	users, _ := m.answer(record.User)
	return int64(len(users)), true, nil
}

// page gives two objects by their ids, and whether more follow.
func (m *memory) page(of record.Type, after string) (page []map[string]any, last string, more bool, asOf time.Time) {
	all, asOf := m.answer(of)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		switch {
		case id <= after:
		case len(page) == 2:
			return page, last, true, asOf
		default:
			page, last = append(page, all[id]), id
		}
	}
	return page, last, false, asOf
}

func (m *memory) Page(_ context.Context, cursor string) (page userapi.Page, err error) {
	found, last, more, asOf := m.page(record.User, cursor)
	for _, object := range found {
		page.Users = append(page.Users, userapi.User{Object: marshal(object), FetchedAt: asOf})
	}
	if more {
		page.Next = last
	}
	return page, nil
}

func (m *memory) User(_ context.Context, id string) (userapi.User, error) {
	object, asOf, err := m.one(record.Ref{Type: record.User, ID: id})
	return userapi.User{Object: object, FetchedAt: asOf}, err
}

// Records lists first the organizations, and then the memberships.
func (m *memory) Records(_ context.Context, cursor string) (page userapi.RecordPage, err error) {
	name, after, _ := strings.Cut(cursor, " ")
	of := record.Organization
	if name != "" {
		of = record.Type(name)
	}
	found, last, more, asOf := m.page(of, after)
	for _, object := range found {
		page.Records = append(page.Records, userapi.Record{Type: of, Object: marshal(object), FetchedAt: asOf})
	}
	switch {
	case more:
		page.Next = string(of) + " " + last
	case of == record.Organization:
		page.Next = string(record.Membership) + " "
	}
	return page, nil
}

func (m *memory) Record(_ context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	object, asOf, err := m.one(ref.Ref)
	return userapi.Record{Type: ref.Type, Object: object, FetchedAt: asOf}, err
}

func (m *memory) one(ref record.Ref) (json.RawMessage, time.Time, error) {
	all, asOf := m.answer(ref.Type)
	object, exists := all[ref.ID]
	if !exists {
		return nil, asOf, userapi.ErrGone
	}
	return marshal(object), asOf, nil
}

// become makes an object what it is from now on; nil: it is gone.
func (m *memory) become(of record.Type, id string, object map[string]any) time.Time {
	if m.now[of] = maps.Clone(m.now[of]); object == nil {
		delete(m.now[of], id)
	} else {
		m.now[of][id] = object
	}
	at := m.line.stamp()
	m.history = append(m.history, moment{at, m.now.clone()})
	return at
}

func (m *memory) has(of record.Type, id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now[of][id] != nil
}

func (m *memory) put(of record.Type, id, value string) []mirror.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saysPut(of, id, m.now[of][id], value, func(object map[string]any) time.Time { return m.become(of, id, object) })
}

func (m *memory) remove(of record.Type, id string) []mirror.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.now[of][id]
	m.now[record.Membership] = maps.Clone(m.now[record.Membership])
	maps.DeleteFunc(m.now[record.Membership], func(membership string, _ map[string]any) bool {
		organizationID, userID, _ := record.SplitMembershipID(membership)
		return of == record.Organization && organizationID == id || of == record.User && userID == id
	})
	at := m.become(of, id, nil)
	return m.saysRemoved(of, id, before, func() time.Time { defer func() { at = m.line.stamp() }(); return at })
}

func (m *memory) restore(id, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.become(record.Organization, id, m.object(record.Organization, id, value, time.UnixMilli(1)))
}

func (m *memory) edit(of record.Type, id, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := m.object(of, id, value, time.UnixMilli(1))
	if at, has := m.now[of][id]["updated_at"]; has {
		changed["updated_at"] = at
	}
	m.become(of, id, changed)
}

func (m *memory) truth() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for of, some := range m.now {
		for id, object := range some {
			all[string(of)+" "+id] = m.value(of, object)
		}
	}
	return all
}

func (m *memory) settle() {
	for !time.Now().After(m.line.last.Add(m.lag)) {
		runtime.Gosched()
	}
}
