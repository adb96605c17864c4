package delivery

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// keepFilter is how long a filter that nobody uses is kept. What its expressions have cost counts for as
	// long (see package jq), and is forgotten with it.
	keepFilter = time.Hour
	// maxFilters is how many are kept. Beyond it the one used longest ago goes.
	maxFilters = 4096
)

// cachedFilter is a destination's Selection, compiled from what it was configured with.
type cachedFilter struct {
	Filter

	broken     error // why there is no Selection
	eventTypes []string
	fields     []string
	condition  *string
	usedAt     time.Time
}

// filterCache keeps the filters of destinations: an expression that costs workers is found out by counting over
// all changes, and each page of them would begin at none.
type filterCache struct {
	mu  sync.Mutex
	all map[uuid.UUID]*cachedFilter
}

// filter gives a destination's filter as it is configured now.
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

// keep adds a filter, and makes room for it.
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
