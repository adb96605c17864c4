// Package destcache builds destinations from their configuration and keeps them until it changes. Decrypting secrets
// and compiling expressions for every change would cost more than sending it.
//
// A built destination takes permits of its account's rate limits, which all processes share through
// authsync.rate_limits. The cache itself is of one process, and nothing depends on it: what is missing is built again.
//
// If the process dies, permits that it took stay taken for as long as the limit says.
package destcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/destination"
)

// Opened is a destination's configuration with its secrets decrypted.
type Opened struct {
	Type   string
	Config destination.Config
}

// Config configures a Cache.
type Config struct {
	Pool *pgxpool.Pool // the control database, which holds the rate limits
	// Open loads a destination and decrypts its secrets.
	Open func(ctx context.Context, destinationID uuid.UUID) (Opened, error)
	// Type returns a destination type by name.
	Type func(name string) (destination.Type, error)
	// Client and CheckURL are passed to the destinations; see destination.Deps.
	Client   *http.Client
	CheckURL func(url string) error
	Log      *slog.Logger
	// Now is the clock of the destinations; nil means time.Now.
	Now func() time.Time
}

// Cache keeps built destinations. It is safe for concurrent use.
type Cache struct {
	config Config

	mu  sync.Mutex
	all map[uuid.UUID]*Destination
}

// Destination is a destination built from its configuration as of UpdatedAt.
type Destination struct {
	ID           uuid.UUID
	TypeName     string
	Capabilities destination.Capabilities
	UpdatedAt    time.Time

	to     destination.Destination
	log    *slog.Logger
	usedAt time.Time
}

// cacheFor is how long an unused destination stays cached.
const cacheFor = 10 * time.Minute

// New returns an empty Cache.
func New(config Config) (*Cache, error) {
	if config.Pool == nil || config.Open == nil || config.Type == nil {
		return nil, errors.New("a cache of destinations needs Pool, Open and Type")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Cache{config: config, all: make(map[uuid.UUID]*Destination)}, nil
}

// Get returns the destination as configured at updatedAt or later. It returns a fault.Invalid if its configuration
// makes no destination, which only a user can change.
func (c *Cache) Get(ctx context.Context, id uuid.UUID, updatedAt time.Time) (*Destination, error) {
	now := c.config.Now()
	if d := c.find(id, updatedAt, now); d != nil {
		return d, nil
	}
	opened, err := c.config.Open(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open the destination: %w", err)
	}
	d, err := c.Build(opened)
	if err != nil {
		return nil, err
	}
	d.ID, d.UpdatedAt, d.usedAt = id, updatedAt, now
	c.keep(d, now)
	return d, nil
}

// Build builds a destination and does not keep it. It returns a fault.Invalid if its configuration makes no destination.
func (c *Cache) Build(opened Opened) (*Destination, error) {
	typ, err := c.config.Type(opened.Type)
	if err != nil {
		return nil, err
	}
	limits := &limiter{pool: c.config.Pool}
	to, err := typ.New(opened.Config, destination.Deps{
		Client: c.config.Client, CheckURL: c.config.CheckURL, Limiter: limits, Now: c.config.Now,
	})
	if err != nil {
		return nil, err
	}
	d := &Destination{TypeName: opened.Type, Capabilities: to.Capabilities(), to: to, log: c.config.Log}
	d.Capabilities.Batch, d.Capabilities.Parallel = max(d.Capabilities.Batch, 1), max(d.Capabilities.Parallel, 1)
	limits.scope, limits.limits = d.Capabilities.Account, d.Capabilities.Limits
	return d, nil
}

func (c *Cache) find(id uuid.UUID, updatedAt, now time.Time) *Destination {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.all[id]
	if d == nil || !d.UpdatedAt.Equal(updatedAt) {
		return nil
	}
	d.usedAt = now
	return d
}

func (c *Cache) keep(d *Destination, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, old := range c.all {
		if now.Sub(old.usedAt) > cacheFor {
			delete(c.all, other)
		}
	}
	c.all[d.ID] = d
}

// Preview returns the requests that a message would make, with their secrets masked.
func (d *Destination) Preview(ctx context.Context, m destination.Message) ([]destination.Request, error) {
	return d.to.Preview(ctx, m)
}

// reasonCrashed is the reason for deliveries that made a destination panic, which is a bug in authsync and
// must not block the others.
const reasonCrashed = "sending this change crashed authsync: please report it; replay the delivery with a version that fixes it"

// Send sends messages and returns one result per message, even if the destination panics.
func (d *Destination) Send(ctx context.Context, messages []destination.Message) (results []destination.Result) {
	defer func() {
		if crash := recover(); crash != nil {
			d.log.ErrorContext(ctx, "destination_crashed", slog.String("type", d.TypeName), slog.String("stack", string(debug.Stack())))
			results = make([]destination.Result, len(messages))
			for i := range results {
				results[i] = destination.Result{Outcome: destination.GiveUp, Reason: reasonCrashed}
			}
		}
	}()
	results = make([]destination.Result, len(messages))
	for i := copy(results, d.to.Send(ctx, messages)); i < len(results); i++ {
		results[i] = destination.Result{Outcome: destination.Retry, Reason: "the destination returned no result for this change"}
	}
	return results
}
