package delivery

import (
	"slices"
	"sync"
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

// cachedFilter is a destination's compiled Filter.
type cachedFilter struct {
	Filter

	broken     error // why there is no Filter
	eventTypes []string
	fields     []string
	condition  *string
	usedAt     time.Time
}

// filterCache keeps filters across pages, because an expression that costs workers is detected by counting
// over all changes.
type filterCache struct {
	mu  sync.Mutex
	all map[uuid.UUID]*cachedFilter
}

// filter returns the filter for a destination's current configuration.
func (o *Outbox) filter(f subscriber) *cachedFilter {
	now := o.config.Now()
	c := &o.filters
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.all[f.ID]
	if found == nil || !found.is(f) {
		found = &cachedFilter{eventTypes: f.EventTypes, fields: f.Fields, condition: f.Condition}
		found.Filter, found.broken = o.config.NewFilter(f.EventTypes, f.Fields, f.Condition)
		c.keep(f.ID, found, now)
	}
	found.usedAt = now
	return found
}

func (f *cachedFilter) is(of subscriber) bool {
	same := f.condition == nil && of.Condition == nil || f.condition != nil && of.Condition != nil && *f.condition == *of.Condition
	return same && slices.Equal(f.eventTypes, of.EventTypes) && slices.Equal(f.fields, of.Fields)
}

// keep adds a filter and evicts old ones.
func (c *filterCache) keep(id uuid.UUID, added *cachedFilter, now time.Time) {
	if c.all == nil {
		c.all = make(map[uuid.UUID]*cachedFilter)
	}
	var oldest uuid.UUID
	for other, f := range c.all {
		switch {
		case now.Sub(f.usedAt) > keepFilter:
			delete(c.all, other)
		case c.all[oldest] == nil || f.usedAt.Before(c.all[oldest].usedAt):
			oldest = other
		}
	}
	if len(c.all) >= maxFilters && c.all[id] == nil {
		delete(c.all, oldest)
	}
	c.all[id] = added
}
