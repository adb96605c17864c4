package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
)

// built is a destination that is ready to send, as it was configured at a time.
type built struct {
	destination.Destination

	id        uuid.UUID
	kind      string
	traits    destination.Traits
	updatedAt time.Time
	usedAt    time.Time
}

// builtCache keeps what was built until its configuration changes: opening secrets and
// compiling expressions for every change would cost more than sending it.
type builtCache struct {
	mu  sync.Mutex
	all map[uuid.UUID]*built
}

// keepBuilt is how long a destination that nobody uses stays built.
const keepBuilt = 10 * time.Minute

// build gives the destination as it was configured at updatedAt or later.
func (o *Outbox) build(ctx context.Context, id uuid.UUID, updatedAt time.Time) (*built, error) {
	now := o.config.Now()
	if b := o.built.find(id, updatedAt, now); b != nil {
		return b, nil
	}
	opened, err := o.config.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the destination: %w", err)
	}
	kind, err := o.config.Kind(opened.Kind)
	if err != nil {
		return nil, err
	}
	limits := &limiter{pool: o.config.Pool}
	d, err := kind.New(opened.Config, destination.Deps{
		Client: o.config.Client, CheckURL: o.config.CheckURL, Limiter: limits, Now: o.config.Now,
	})
	if err != nil {
		return nil, err
	}
	b := &built{Destination: d, id: id, kind: opened.Kind, traits: d.Traits(), updatedAt: updatedAt, usedAt: now}
	b.traits.Batch, b.traits.Parallel = max(b.traits.Batch, 1), max(b.traits.Parallel, 1)
	limits.account, limits.limits = b.traits.Account, b.traits.Limits
	o.built.keep(id, b, now)
	return b, nil
}

func (c *builtCache) find(id uuid.UUID, updatedAt, now time.Time) *built {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.all[id]
	if b == nil || !b.updatedAt.Equal(updatedAt) {
		return nil
	}
	b.usedAt = now
	return b
}

func (c *builtCache) keep(id uuid.UUID, b *built, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[uuid.UUID]*built)
	}
	for other, old := range c.all {
		if now.Sub(old.usedAt) > keepBuilt {
			delete(c.all, other)
		}
	}
	c.all[id] = b
}
