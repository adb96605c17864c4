package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
)

// cachedDestination is a destination built from its configuration as of updatedAt.
type cachedDestination struct {
	destination.Destination

	id           uuid.UUID
	typeName     string
	capabilities destination.Capabilities
	updatedAt    time.Time
	usedAt       time.Time
}

// destinationCache keeps built destinations until their configuration changes. Decrypting secrets and
// compiling expressions for every change would cost more than sending it.
type destinationCache struct {
	mu  sync.Mutex
	all map[uuid.UUID]*cachedDestination
}

// cacheFor is how long an unused destination stays cached.
const cacheFor = 10 * time.Minute

// build returns the destination as configured at updatedAt or later.
func (o *Outbox) build(ctx context.Context, id uuid.UUID, updatedAt time.Time) (*cachedDestination, error) {
	now := o.config.Now()
	if b := o.destinations.find(id, updatedAt, now); b != nil {
		return b, nil
	}
	opened, err := o.config.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the destination: %w", err)
	}
	typ, err := o.config.Type(opened.Type)
	if err != nil {
		return nil, err
	}
	limits := &limiter{pool: o.config.Pool}
	d, err := typ.New(opened.Config, destination.Deps{
		Client: o.config.Client, CheckURL: o.config.CheckURL, Limiter: limits, Now: o.config.Now,
	})
	if err != nil {
		return nil, err
	}
	b := &cachedDestination{Destination: d, id: id, typeName: opened.Type, capabilities: d.Traits(), updatedAt: updatedAt, usedAt: now}
	b.capabilities.Batch, b.capabilities.Parallel = max(b.capabilities.Batch, 1), max(b.capabilities.Parallel, 1)
	limits.scope, limits.limits = b.capabilities.Account, b.capabilities.Limits
	o.destinations.keep(id, b, now)
	return b, nil
}

func (c *destinationCache) find(id uuid.UUID, updatedAt, now time.Time) *cachedDestination {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.all[id]
	if b == nil || !b.updatedAt.Equal(updatedAt) {
		return nil
	}
	b.usedAt = now
	return b
}

func (c *destinationCache) keep(id uuid.UUID, b *cachedDestination, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[uuid.UUID]*cachedDestination)
	}
	for other, old := range c.all {
		if now.Sub(old.usedAt) > cacheFor {
			delete(c.all, other)
		}
	}
	c.all[id] = b
}
