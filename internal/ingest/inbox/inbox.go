// Package inbox stores the messages that providers send. The receiver appends verified messages;
// the applier reads them and records the outcomes of their events.
//
//	receiver ─▶ Append ─▶ authsync.inbox + inbox_pending + River job, if the project has none
//	                           │                   one commit for all that wait
//	applier  ◀─ LoadPending ◀──┘
//	         ─▶ RecordOutcomes, Settle ─▶ authsync.event_outcomes
//	people   ◀─ Events, UserEvents, Body, Tail; ─▶ Replay
//	clock    ─▶ Maintain: create coming partitions; Pruner: delete what is past its retention
//
// The inbox, not the job table, is the source of truth about a message: rows are only ever added. A
// message stays in inbox_pending until its outcomes are recorded, whatever happens to jobs, and
// Replay makes any message pending again.
//
// # Crash safety
//
// A message and its pending mark are one transaction, and Append returns nil only after its commit
// is known. If the process dies before that, the sender gets no answer and sends again. If the
// commit succeeded, the message is then stored twice, which the mirror's ledger of event ids makes
// harmless.
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

// ErrFull reports that too many messages already wait for the database. The sender should retry in
// a few seconds.
var ErrFull = errors.New("the inbox is full: the database takes messages more slowly than they arrive")

// Limits of a job and a commit: they bound how much a worker loads at once and how much senders
// repeat after a failed commit.
const (
	jobMaxMessages = 500
	jobMaxBytes    = 8 << 20
)

// Config configures an Inbox. The zero value is usable.
type Config struct {
	// CommitTimeout limits one group commit, including waiting for a connection; 0 means 5 s.
	CommitTimeout time.Duration
	// CommitsInFlight is the number of concurrent commits; 0 means 1. More commits make smaller
	// groups, which costs more than the overlap gains: on two cores with 2 commits, 16 senders get
	// a third less throughput, and 256 senders no more.
	CommitsInFlight int
	// MaxWaiting and MaxWaitingBytes limit what waits for a commit; beyond them Append returns
	// ErrFull. 0 means 10,000 messages and 64 MiB.
	MaxWaiting, MaxWaitingBytes int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log records failed commits; nil means no log.
	Log *slog.Logger
	// Registry registers the metrics; nil means no metrics.
	Registry prometheus.Registerer
}

// Inbox appends messages and queries the outcomes of their events. It is safe for concurrent use.
type Inbox struct {
	pool    *pgxpool.Pool
	jobs    *river.Client[pgx.Tx]
	config  Config
	group   *batch.Group[Message, int64]
	wake    *batch.Group[struct{}, struct{}]
	metrics metrics
	trouble health
}

// Message is a verified request from a provider to be stored.
type Message struct {
	ProjectID uuid.UUID
	Provider  string // as in the database: auth0, clerk, better_auth
	MessageID string // the sender's id from its headers; empty if there is none
	// VerifiedBy is how it was proven genuine; see provider.Proof.String.
	VerifiedBy string
	// ReceivedAt is when the request had been read completely; zero means now.
	ReceivedAt time.Time
	Headers    map[string]string // the headers worth keeping, by canonical name; never a credential
	Body       []byte            // must not change until Append returns
	// Excluded are the entries of option exclude whose fields were removed from the body.
	Excluded []string
}

// New creates an Inbox on the control database. jobs only inserts; see NewJobs. Append, Load and
// the queries share the pool: to keep users' queries from delaying messages, give the receiver an
// inbox with its own pool, with one connection more than CommitsInFlight. Close drains it.
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

// Append stores a message durably and returns its id. It returns after the commit of the message
// and its job, or with an error:
//
//   - ErrFull: nothing was stored.
//   - the context's cause: the caller's deadline passed.
//   - any other error: the database could not store it.
//
// After an error the message may still have been stored, if the connection broke during the commit
// or the context ended in it. The sender then repeats it, which is harmless.
func (in *Inbox) Append(ctx context.Context, d Message) (int64, error) {
	if d.ReceivedAt.IsZero() {
		d.ReceivedAt = in.config.Now()
	}
	d.ReceivedAt = d.ReceivedAt.UTC().Truncate(time.Microsecond) // PostgreSQL's resolution
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

// Close rejects further messages and waits until pending ones are committed, or ctx ends.
func (in *Inbox) Close(ctx context.Context) error {
	if err := errors.Join(in.group.Close(ctx), in.wake.Close(ctx)); err != nil {
		return fmt.Errorf("drain the inbox: %w", err)
	}
	return nil
}

// text makes s valid for a text column, which accepts neither U+0000 nor invalid UTF-8.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// headersJSON returns the headers as a JSON object valid for jsonb.
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
	if err != nil { // impossible for a map of strings
		return "{}"
	}
	return string(b)
}
