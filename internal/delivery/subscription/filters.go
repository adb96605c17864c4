package subscription

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

const (
	// keepFilter is how long an unused filter is kept, along with the record of the workers its expressions
	// have cost (see package jq).
	keepFilter = time.Hour
	// maxFilters is the size of the cache. The least recently used filter is evicted.
	maxFilters = 4096
)

// cachedFilter is a destination's compiled Filter. It is kept across pages, because an expression that costs workers
// is detected by counting over all changes.
type cachedFilter struct {
	Filter

	broken     error // why there is no Filter
	eventTypes []string
	fields     []string
	condition  *string
	usedAt     time.Time
}

// filter returns the filter for a destination's current configuration.
func (a *Filters) filter(s *Subscription) *cachedFilter {
	now := a.config.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	found := a.all[s.ID]
	if found == nil || !found.is(s) {
		found = &cachedFilter{eventTypes: s.EventTypes, fields: s.Fields, condition: s.Condition}
		found.Filter, found.broken = a.config.New(s.EventTypes, s.Fields, s.Condition)
		a.keep(s.ID, found, now)
	}
	found.usedAt = now
	return found
}

func (f *cachedFilter) is(of *Subscription) bool {
	same := f.condition == nil && of.Condition == nil || f.condition != nil && of.Condition != nil && *f.condition == *of.Condition
	return same && slices.Equal(f.eventTypes, of.EventTypes) && slices.Equal(f.fields, of.Fields)
}

// keep adds a filter and evicts old ones.
func (a *Filters) keep(id uuid.UUID, added *cachedFilter, now time.Time) {
	var oldest uuid.UUID
	for other, f := range a.all {
		switch {
		case now.Sub(f.usedAt) > keepFilter:
			delete(a.all, other)
		case a.all[oldest] == nil || f.usedAt.Before(a.all[oldest].usedAt):
			oldest = other
		}
	}
	if len(a.all) >= maxFilters && a.all[id] == nil {
		delete(a.all, oldest)
	}
	a.all[id] = added
}
