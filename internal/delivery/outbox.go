// Package delivery delivers every change of a project's users to the destinations subscribed to it: in
// order for each user, within the destination's rate limits, retried until it succeeds, fails for the last time or is
// cancelled.
//
//	mirror: user_changes ──relay_changes──▶ deliveries ──deliver──▶ Destination.Send
//	         (project's database)           (control)       │
//	                                                        └─ failed ─▶ retry_delivery
//
//	relay_changes       one job per project at a time: reads the feed from each destination's
//	                    cursor and makes a delivery of each matching change
//	deliver             one job per destination at a time: sends what is ready, concurrently
//	retry_delivery      one job per delivery that failed, or is deferred while others succeed;
//	                    retried by River
//	rescue_deliveries   every 30 seconds: replaces deleted jobs
//
// A delivery:
//
//	blocked ──▶ ready ──▶ delivered
//	  ▲        │ ▲ ──▶ coalesced    merged into a newer one of the user, which was sent
//	  │        ▼ │
//	  │     retrying ─▶ failed      after 15 attempts, or at once after a permanent error
//	  └──────────────────┴──────▶ (replayed)            cancelled: by a user, or its change was lost and not restored
//
// Of a user's deliveries to a destination only one is ready or retrying; the others are blocked until it
// is finished. Code that makes or finishes deliveries locks the row of destination_progress first, so a
// user with unfinished deliveries always has one that can be sent.
//
// # What a crash leaves
//
// A destination's cursor moves in the transaction that makes the deliveries. A result is recorded after
// the message was sent, so a crash in between sends it again with the same id. An idle job ends in a
// transaction that also checks for new requests (authsync.finish_if_idle).
package delivery

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
)

// Feed reads the changes of a project; see mirror.Mirrors.
type Feed interface {
	ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]mirror.FeedChange, error)
	ChangesByID(ctx context.Context, projectID uuid.UUID, ids []int64) ([]mirror.FeedChange, error)
	UserStates(ctx context.Context, projectID uuid.UUID, first, last []int64, asOf int64) ([]mirror.UserState, error)
	ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (int64, error)
	LatestChange(ctx context.Context, projectID uuid.UUID, userID string) (int64, error)
	SkipChangeIDs(ctx context.Context, projectID uuid.UUID, to int64) error
	Check(ctx context.Context, projectID uuid.UUID) error
}

// Filter decides whether a destination takes a change; why explains a refusal.
type Filter interface {
	Wants(m destination.Message) (wanted bool, why string, err error)
}

// Opened is a destination's configuration with its secrets decrypted.
type Opened struct {
	Type   string
	Config destination.Config
}

// Config configures an Outbox.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Feed Feed
	// Open loads a destination and decrypts its secrets.
	Open func(ctx context.Context, destinationID uuid.UUID) (Opened, error)
	// Type returns a destination type by name.
	Type func(name string) (destination.Type, error)
	// NewFilter compiles a destination's filter.
	NewFilter func(eventTypes, fields []string, condition *string) (Filter, error)
	// Client and CheckURL are passed to the destinations; see destination.Deps.
	Client   *http.Client
	CheckURL func(url string) error
	Log      *slog.Logger
	// Registry registers the metrics; nil disables them.
	Registry prometheus.Registerer
	// Retention is how long finished deliveries are kept; 0 means forever.
	Retention time.Duration
	// Slice is how long a job works before it yields; 0 means 10 s. Cut is when requests still in flight are
	// cancelled, from the start of the job; 0 means 27 s.
	Slice, Cut time.Duration
	// MaxInFlightBytes is the approximate size of the messages a run holds; 0 means 32 MB.
	MaxInFlightBytes int
	// Now is the clock for attempts and the circuit breaker; nil means time.Now.
	Now func() time.Time
	// Retry replaces retry pauses in tests; nil keeps them.
	Retry func(time.Duration) time.Duration
}

// Outbox relays and delivers changes. It is safe for concurrent use.
type Outbox struct {
	config       Config
	metrics      metrics
	destinations destinationCache
	filters      filterCache
	retrySlots   keyedSemaphore
	activity     activity
	sends        atomic.Int64
}

// A job works for sliceLength before it yields. Requests in flight by then are cancelled cutAfter from its
// start, before the job counts as stuck (jobs.StuckAfter).
const (
	sliceLength = 10 * time.Second
	cutAfter    = 27 * time.Second
	jobTimeout  = 30 * time.Second
)

// New returns an Outbox. It starts nothing: see Register.
func New(config Config) (*Outbox, error) {
	if config.Pool == nil || config.Feed == nil || config.Open == nil || config.Type == nil || config.NewFilter == nil {
		return nil, errors.New("an outbox needs Pool, Feed, Open, Type and NewFilter")
	}
	config.Slice, config.Cut = cmp.Or(config.Slice, sliceLength), cmp.Or(config.Cut, cutAfter)
	config.MaxInFlightBytes = cmp.Or(config.MaxInFlightBytes, maxInFlightBytes)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Retry == nil {
		config.Retry = func(pause time.Duration) time.Duration { return pause }
	}
	return &Outbox{config: config, metrics: newMetrics(config.Registry)}, nil
}

// Execer is a pool or a transaction of the control database.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// planned plans a statement for its arguments on each call: a cached plan made for empty tables scans full
// ones.
const planned = pgx.QueryExecModeExec

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// query collects rows as T, by field name.
func query[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// queryOne is query for exactly one row; it returns pgx.ErrNoRows if there is none.
func queryOne[T any](ctx context.Context, db querier, sql string, args ...any) (T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}
