// Package delivery brings every change of a project's users to the destinations that want
// it: in order for each user, at the pace that the other side allows, again and again
// until it is in or a person decides.
//
//	mirror: user_changes ──relay_changes──▶ deliveries ──deliver──▶ Destination.Send
//	         (project's database)           (control)       │
//	                                                        └─ failed ─▶ retry_delivery
//
//	relay_changes   one job a project at a time: reads the feed on from where each
//	                destination stands, and makes a delivery of each change that it wants
//	deliver         one job a destination at a time: sends what is ready, many at once
//	retry_delivery   one job a delivery that failed, or alone is put off: River's retries
//	rescue_deliveries     every half minute: makes up for jobs that somebody deleted
//
// A delivery:
//
//	blocked ──▶ ready ──▶ delivered
//	  ▲        │ ▲ ──▶ coalesced    united with a newer one of the user, which was sent
//	  │        ▼ │
//	  │     retrying ─▶ failed      after some fifteen attempts, or at once where it is hopeless
//	  └──────────────────┴──────▶ (replayed)            cancelled: by a person, or the mirror lost its change and made no such one again
//
// Of a user's deliveries to a destination only one is ready or retrying; the others are
// held until it is finished. Whoever makes or finishes deliveries locks the row
// of destination_progress first, so no user is ever left without one under way.
//
// # What a crash leaves
//
// A destination moves on over the feed in the transaction that makes the deliveries. A
// result is noted after the message was sent, so a crash in between sends it again,
// with the same id. A job that has no more to do ends in the transaction that finds that nobody
// has asked for it since it looked (authsync.rest).
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

// Filter says which changes a destination wants, and why not.
type Filter interface {
	Wants(m destination.Message) (wanted bool, why string, err error)
}

// Opened is a destination as it is configured.
type Opened struct {
	Type   string
	Config destination.Config
}

// Config is what an Outbox needs.
type Config struct {
	Pool *pgxpool.Pool // the control database
	Feed Feed
	// Open gives a destination with its secrets opened.
	Open func(ctx context.Context, destinationID uuid.UUID) (Opened, error)
	// Type finds a destination type by its name.
	Type func(name string) (destination.Type, error)
	// NewFilter makes what chooses changes.
	NewFilter func(eventTypes, fields []string, condition *string) (Filter, error)
	// Client and CheckURL are for the destinations; see destination.Deps.
	Client   *http.Client
	CheckURL func(url string) error
	Log      *slog.Logger
	// Registry takes the metrics; nil: there are none.
	Registry prometheus.Registerer
	// Retention is how long finished deliveries are kept; 0: for ever.
	Retention time.Duration
	// Slice is how long a job works before it lets others have their turn; 0: 10 s. Cut is after
	// how long what it has sent by then is cut off; 0: 27 s.
	Slice, Cut time.Duration
	// MaxInFlightBytes is how many bytes of messages a run has in hand, about; 0: 32 MB.
	MaxInFlightBytes int
	// Now is the clock of attempts and of the circuit breaker; nil: time.Now.
	Now func() time.Time
	// Retry maps a pause to the one that is kept; nil: the same. For tests.
	Retry func(time.Duration) time.Duration
}

// Outbox relays and delivers. It is safe for concurrent use.
type Outbox struct {
	config       Config
	metrics      metrics
	destinations destinationCache
	filters      filterCache
	retrySlots   keyedSemaphore
	activity     activity
	sends        atomic.Int64
}

// sliceLength is how long a job works before it gives its place to others. What it has
// sent by then may take cutAfter in all, which is below the time after which a
// job counts as stuck (jobs.StuckAfter).
const (
	sliceLength = 10 * time.Second
	cutAfter    = 27 * time.Second
	jobTimeout  = 30 * time.Second
)

// New makes an Outbox. It starts nothing: see Register.
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

// planned has a statement planned for its arguments, each time: a plan that was made for empty tables reads all of a full one.
const planned = pgx.QueryExecModeExec

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// query collects rows as T, by the names of its fields.
func query[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// queryOne is query for exactly one row; pgx.ErrNoRows where there is none.
func queryOne[T any](ctx context.Context, db querier, sql string, args ...any) (T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}
