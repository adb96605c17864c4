// Package sender is the station between the deliveries and the destinations. The job deliver, one per destination at a
// time, takes what is ready, sends it concurrently and records the results. A delivery that failed, or is deferred
// while others succeed, continues in its own job retry_delivery.
//
//	take ──▶ load messages ──▶ in-flight window ──▶ Destination.Send ──▶ record ──▶ delivered, or retry_delivery
//	                           (fill, dispatch)     (Capabilities.Parallel senders)
//
// It promises that deliveries with an order key to a destination are sent one after another, that only one job sends to a
// destination (the lease; retries are of other order keys), and that a result is recorded once. If the process dies between
// sending and recording, the delivery is sent again with the same id. Taking deliveries changes nothing, so those not
// sent yet are taken again by the next job.
package sender

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/tracing"
)

// Feed reads the changes that are sent; see mirror.Mirrors. Its methods return a *tenantdb.DelayError if the project's
// database is unavailable, Check also errors of the control database.
type Feed interface {
	delivery.Feed
	Check(ctx context.Context, projectID uuid.UUID) error
	ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (int64, error)
}

// Config configures a Sender.
type Config struct {
	Pool         *pgxpool.Pool // the control database
	Feed         Feed
	Destinations *destcache.Cache
	Metrics      *delivery.Metrics
	Log          *slog.Logger
	// Tracer traces deliveries of sampled messages; nil means no traces.
	Tracer *tracing.Tracer
	// Slice is how long a job works before it yields; 0 means 10 s. Cut is when requests still in flight are
	// cancelled, from the start of the job; 0 means 27 s.
	Slice, Cut time.Duration
	// MaxInFlightBytes is the approximate size of the messages a job holds; 0 means 32 MB.
	MaxInFlightBytes int
	// Now is the clock for attempts and the circuit breaker; nil means time.Now.
	Now func() time.Time
	// Pause replaces retry pauses in tests; nil keeps them.
	Pause func(time.Duration) time.Duration
}

// Sender sends deliveries. It is safe for concurrent use.
type Sender struct {
	config     Config
	retrySlots keyedSemaphore
	activity   activity
	sends      atomic.Int64
}

// Requests in flight when a job's slice ends are cancelled cutAfter from its start, before River stops the job.
const cutAfter = 27 * time.Second

// Worker limits per process and queue. The jobs mostly wait for other systems.
const (
	deliverWorkers = 100
	retryWorkers   = 100
)

// New returns a Sender. It starts nothing: see Register.
func New(config Config) (*Sender, error) {
	if config.Pool == nil || config.Feed == nil || config.Destinations == nil {
		return nil, errors.New("a sender needs Pool, Feed and Destinations")
	}
	config.Slice, config.Cut = cmp.Or(config.Slice, delivery.Slice), cmp.Or(config.Cut, cutAfter)
	config.MaxInFlightBytes = cmp.Or(config.MaxInFlightBytes, maxInFlightBytes)
	if config.Metrics == nil {
		config.Metrics = delivery.NewMetrics(nil)
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Pause == nil {
		config.Pause = func(pause time.Duration) time.Duration { return pause }
	}
	return &Sender{config: config, retrySlots: keyedSemaphore{limit: retryWorkers / 4}}, nil
}

// Register adds the workers and their queues to the configuration of a River client.
func (s *Sender) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	river.AddWorker(workers, &deliverWorker{sender: s})
	river.AddWorker(workers, newRetryWorker(s))
	queues[delivery.QueueDeliver] = river.QueueConfig{MaxWorkers: deliverWorkers}
	queues[delivery.QueueRetry] = river.QueueConfig{MaxWorkers: retryWorkers}
}
