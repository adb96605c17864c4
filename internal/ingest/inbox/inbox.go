// Package inbox keeps what the providers sent. On the road of a webhook it
// stands between the receiver, which hands in verified deliveries, and the
// applier, which reads them back and records what became of their events.
//
//	receiver ─▶ Append ─▶ authsync.inbox + inbox_pending + River job, if the project has none
//	                           │                   one commit for all that wait
//	applier  ◀─ LoadPending ◀──┘
//	         ─▶ RecordOutcomes, Settle ─▶ authsync.event_outcomes
//	people   ◀─ Events, UserEvents, Body, Tail; ─▶ Replay
//	clock    ─▶ Maintain: the coming days' partitions, the end of old ones
//
// The inbox, not the job table, is the truth about a delivery: rows are only
// ever added. What waits is in inbox_pending until its outcomes are recorded, whatever becomes of
// jobs, and Replay makes anything wait again at any time.
//
// # What a crash leaves
//
// A delivery and what says that it waits are one transaction, and Append returns nil only after
// its commit is known. Killed before: the sender gets no answer and sends again.
// Killed after: the same, and the delivery is there twice, which the ledger of
// event ids in the mirror makes harmless.
package inbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/batch"
)

// ErrFull says that so many deliveries wait for the database already that one more
// would only wait for nothing. The sender should come back in a few seconds.
var ErrFull = errors.New("the inbox is full: the database takes deliveries more slowly than they arrive")

// A job holds no more than this, and so does a commit: what a worker loads at
// once and what a failed commit makes senders repeat is bounded.
const (
	jobMaxMessages = 500
	jobMaxBytes    = 8 << 20
)

// Config adjusts an Inbox. The zero value is good for most.
type Config struct {
	// CommitTimeout bounds one commit of a group of deliveries, waiting for a
	// connection included; 0: 5 s.
	CommitTimeout time.Duration
	// CommitsInFlight is how many commits run at the same time; 0: 1. More make
	// the groups smaller, which costs more than the overlap gains: on two cores, 16
	// senders get a third less out of 2, and 256 get no more.
	CommitsInFlight int
	// MaxWaiting and MaxWaitingBytes bound what waits for a commit; beyond them
	// Append returns ErrFull. 0: 10,000 deliveries, 64 MiB.
	MaxWaiting, MaxWaitingBytes int
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log hears of commits that fail; nil: nobody does.
	Log *slog.Logger
	// Registry takes the metrics; nil: there are none.
	Registry prometheus.Registerer
}

// Inbox appends deliveries and answers what became of them. It is safe for concurrent use.
type Inbox struct {
	pool    *pgxpool.Pool
	jobs    *river.Client[pgx.Tx]
	config  Config
	group   *batch.Group[Message, int64]
	wake    *batch.Group[struct{}, struct{}]
	metrics metrics
	trouble health
}

// Message is a verified request of a provider, on its way into the inbox.
type Message struct {
	ProjectID uuid.UUID
	Provider  string // as in the database: auth0, clerk, better_auth
	MessageID string // the sender's id from its headers; empty where it sends none
	// ReceivedAt is when the request had been read whole; zero: now.
	ReceivedAt time.Time
	Headers    map[string]string // the headers worth keeping, by canonical name; never a credential
	Body       []byte            // must not change until Append returns
}

// New makes an inbox on the control database. jobs only inserts; see NewJobs.
// Append, Load and the queries share the pool: give the receiver an inbox with a
// pool of its own, of one connection more than CommitsInFlight, where people's
// queries must not hold up deliveries. Close it to drain it.
func New(pool *pgxpool.Pool, jobs *river.Client[pgx.Tx], config Config) *Inbox {
	config.CommitTimeout = cmp.Or(config.CommitTimeout, 5*time.Second)
	config.CommitsInFlight = cmp.Or(config.CommitsInFlight, 1)
	config.MaxWaiting = cmp.Or(config.MaxWaiting, 10_000)
	config.MaxWaitingBytes = cmp.Or(config.MaxWaitingBytes, 64<<20)
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	in := &Inbox{pool: pool, jobs: jobs, config: config}
	in.group = batch.New(batch.Config[Message, int64]{
		Flush:           in.flush,
		Size:            func(d Message) int { return len(d.Body) },
		MaxItems:        jobMaxMessages,
		MaxBytes:        jobMaxBytes,
		MaxInFlight:     config.CommitsInFlight,
		MaxWaiting:      config.MaxWaiting,
		MaxWaitingBytes: config.MaxWaitingBytes,
	})
	in.wake = batch.New(batch.Config[struct{}, struct{}]{Flush: in.notifyWorkers, MaxWaiting: 1})
	in.metrics = newMetrics(config.Registry, in.group)
	return in
}

// Append makes a delivery durable and returns its id. It returns after the
// commit that holds the delivery and its job, or with an error:
//
//   - ErrFull: nothing was taken.
//   - the context's cause: the caller's patience ended.
//   - any other error: the database could not take it.
//
// After an error the delivery may still turn out to have been stored, if the
// connection broke during the commit or the context ended in it. The sender
// repeats it, which is harmless.
func (in *Inbox) Append(ctx context.Context, d Message) (int64, error) {
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = in.config.Now()
	}
	d.ReceivedAt = d.ReceivedAt.UTC().Truncate(time.Microsecond) // what PostgreSQL keeps
	d.MessageID = text(d.MessageID)
	id, err := in.group.Do(ctx, d)
	switch {
	case errors.Is(err, batch.ErrFull):
		return 0, ErrFull
	case err != nil:
		return 0, fmt.Errorf("append to inbox: %w", err)
	}
	return id, nil
}

// Close refuses further deliveries and waits until those handed in are
// committed, or ctx ends.
func (in *Inbox) Close(ctx context.Context) error {
	if err := errors.Join(in.group.Close(ctx), in.wake.Close(ctx)); err != nil {
		return fmt.Errorf("drain the inbox: %w", err)
	}
	return nil
}

// text makes s fit for a column of type text, which takes neither U+0000 nor
// invalid UTF-8.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// headersJSON gives the headers as a JSON object that jsonb takes.
func headersJSON(headers map[string]string) string {
	if len(headers) == 0 {
		return "{}"
	}
	clean := headers
	for _, value := range headers {
		if strings.Contains(value, "\x00") {
			clean = make(map[string]string, len(headers))
			for k, v := range headers {
				clean[text(k)] = text(v)
			}
			break
		}
	}
	b, err := json.Marshal(clean)
	if err != nil { // cannot be: a map of strings
		return "{}"
	}
	return string(b)
}
