package userapi

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/plural"
)

const (
	recents   = 10 // last read ids that a walk remembers
	minJoined = 3  // of them must be where they should be; the others may have been deleted
)

// Mark is the position of a walk over a list and proves that it makes progress: it detects a list
// that ignores its parameters, loops or has no order, in constant space.
type Mark struct {
	// Offset is the number of entries before the next one.
	Offset int64 `json:"offset,omitempty"`
	// First is the first id read. Reading it again means a loop.
	First string `json:"first,omitempty"`
	// Recent are the last ids read, in order.
	Recent []string `json:"recent,omitempty"`
	// Step and Page detect loops that do not include the first entry, whatever their length: they
	// remember one page, that of step 1, 2, 4, 8, … (Brent's algorithm).
	Step int64  `json:"step,omitempty"`
	Page string `json:"page,omitempty"`
	// Rewinds is how often the walk was restarted.
	Rewinds int `json:"rewinds,omitempty"`
}

// Begun reports whether something was read.
func (m *Mark) Begun() bool { return m.First != "" }

// Repeats reports whether ids were read before, as far as the mark remembers, so that a page of
// them does not follow it.
func (m *Mark) Repeats(ids []string) bool {
	return m.Begun() && slices.ContainsFunc(ids, func(id string) bool { return id == m.First || slices.Contains(m.Recent, id) }) ||
		len(ids) > 0 && m.Page == fingerprint(ids)
}

// Add notes that ids were read.
func (m *Mark) Add(ids []string) {
	if len(ids) == 0 {
		return
	}
	if m.First == "" {
		m.First = ids[0]
	}
	if m.Step++; m.Step&(m.Step-1) == 0 {
		m.Page = fingerprint(ids)
	}
	m.Recent = slices.Compact(append(slices.Clip(m.Recent), ids[max(len(ids)-2*recents, 0):]...))
	m.Recent = slices.Clone(m.Recent[max(len(m.Recent)-recents, 0):])
}

func fingerprint(ids []string) string {
	sum := fnv.New128a()
	for _, id := range ids {
		sum.Write([]byte(id))
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// join finds the place in a list up to which it was read: the ids read last stand there, in their
// order and close together. first and last are the places of the first and the last of them.
func (m *Mark) join(l *List) (first, last int64, joined bool) {
	const others = 5 // may have been inserted between them
	found, at := 0, -1
	first, last = -1, -1
	for _, entry := range l.Entries {
		i := slices.Index(m.Recent, entry.ID)
		switch {
		case i < 0:
			continue
		case i == at:
			last = entry.Place // repeated
			continue
		case i < at: // out of order
			return 0, 0, false
		case first < 0:
			first = entry.Place
		}
		found, at, last = found+1, i, entry.Place
	}
	joined = found >= min(minJoined, len(m.Recent)) && last-first < recents+others
	return first, last, joined
}

// NoProgress returns the error for a list of users that makes no progress; what describes the
// observation.
func NoProgress(name, what string, read, total int64) error {
	return NoProgressOf("users", name, what, read, total)
}

// NoProgressOf is NoProgress for a list of something else, such as "organizations".
func NoProgressOf(list, name, what string, read, total int64) error {
	counted := ""
	if total > 0 {
		counted = fmt.Sprintf(", which counts %d", total)
	}
	return fault.Newf(fault.ProviderError, "list the %s of %s%s: %s. %s read so far, and stay in the mirror. "+
		"Is there a proxy on the way that drops or changes parameters?", list, name, counted, what, plural.Of(read, "record")+plural.Word(read, " was", " were"))
}
