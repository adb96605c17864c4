package deliverytest

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/relay"
	"github.com/authsync/authsync/internal/delivery/sender"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/delivery/upkeep"
	"github.com/authsync/authsync/internal/destination"
)

// Feed is what the packages of the road out read a project's changes from.
type Feed interface {
	relay.Feed
	sender.Feed
	admin.Feed
}

// Config configures Deliveries; see the packages of the road out.
type Config struct {
	Pool             *pgxpool.Pool
	Feed             Feed
	Open             func(ctx context.Context, destinationID uuid.UUID) (destcache.Opened, error)
	Type             func(name string) (destination.Type, error)
	NewFilter        func(eventTypes, fields []string, condition *string) (subscription.Filter, error)
	Slice, Cut       time.Duration
	MaxInFlightBytes int
	Now              func() time.Time
	Pause            func(time.Duration) time.Duration
}

// Deliveries is all of the road out, as package app composes it.
type Deliveries struct {
	Relay  *relay.Relay
	Sender *sender.Sender
	Admin  *admin.Admin

	upkeep upkeep.Config
}

// NewDeliveries composes Deliveries. It starts nothing: see Register.
func NewDeliveries(c Config) (*Deliveries, error) {
	destinations, err := destcache.New(destcache.Config{Pool: c.Pool, Open: c.Open, Type: c.Type, Now: c.Now})
	filters, err2 := subscription.New(subscription.Config{New: c.NewFilter, Now: c.Now})
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	o := &Deliveries{upkeep: upkeep.Config{Pool: c.Pool, Now: c.Now}}
	if o.Relay, err = relay.New(relay.Config{Pool: c.Pool, Feed: c.Feed, Filters: filters, Slice: c.Slice, Now: c.Now, Pause: c.Pause}); err != nil {
		return nil, err
	}
	o.Sender, err = sender.New(sender.Config{
		Pool: c.Pool, Feed: c.Feed, Destinations: destinations, Slice: c.Slice, Cut: c.Cut, MaxInFlightBytes: c.MaxInFlightBytes,
		Now: c.Now, Pause: c.Pause,
	})
	if err != nil {
		return nil, err
	}
	o.Admin, err = admin.New(admin.Config{Pool: c.Pool, Feed: c.Feed, Destinations: destinations, Filters: filters, Now: c.Now})
	return o, err
}

// Register adds all workers and queues to the configuration of a River client.
func (o *Deliveries) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	o.Relay.Register(workers, queues)
	o.Sender.Register(workers, queues)
	upkeep.Register(o.upkeep)(workers, queues)
}

// Hook observes all jobs of the client.
func (o *Deliveries) Hook() rivertype.Hook { return o.Sender.Hook() }
