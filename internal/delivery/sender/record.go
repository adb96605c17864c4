package sender

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

// Outcomes understood by authsync.record_deliveries.
const (
	outcomeDelivered = "delivered"
	outcomeRetry     = "retry"
	outcomeFailed    = "failed"
	outcomeCancelled = "cancelled"
	outcomeDeferred  = "later"
	outcomeProbe     = "probe" // a failed breaker probe, which costs no attempt
)

// The circuit breaker.
const (
	breakerThreshold   = 5 // order keys with failing deliveries, without any success
	breakerDuration    = 30 * time.Second
	breakerMaxDuration = 15 * time.Minute
	disableAfter       = 5 * 24 * time.Hour
)

// sent is a delivery with its result.
type sent struct {
	outgoing

	result  destination.Result
	outcome string
	send    int64     // the number of its Send; a batch that fails is one failure
	sentAt  time.Time // zero: it was not sent
	err     error     // why it was not sent; outcome is empty
	retryAt time.Time // next attempt, if by a job of its own
	took    time.Duration
	probe   bool // breaker probe

	deferrals *int // deferrals while others succeeded; nil: not deferred now
	aside     bool // gets a job of its own, which costs no attempt
}

// resultRow is a result in the format of authsync.record_deliveries.
type resultRow struct {
	ID              int64      `json:"id"`
	State           string     `json:"state"`
	Attempts        int        `json:"attempts"`
	Coalesced       []int64    `json:"coalesced"`
	Outcome         string     `json:"outcome"`
	Send            int64      `json:"send"`
	Status          *int       `json:"status"`
	Response        *string    `json:"response"`
	Reason          *string    `json:"reason"`
	NextAttemptAt   *time.Time `json:"next_attempt_at"`
	JobID           *int64     `json:"job_id"`
	SentAt          *time.Time `json:"sent_at"`
	Deferrals       *int       `json:"deferrals"`
	KeepsExternalID bool       `json:"keeps_external_id"`
	ExternalID      *string    `json:"external_id"`
	DurationMS      *int64     `json:"duration_ms"`
	// Sent has what is kept of its requests; nil: it was not sent.
	Sent *delivery.Sent `json:"sent,omitempty"`
}

// recorded is the effect of recording results.
type recorded struct {
	Promoted         int64
	BreakerOpenUntil *time.Time
	IsDisabled       bool
	halted           bool // the destination's answer paused or disabled it
}

const recordDeliveries = `
	SELECT promoted, breaker_open_until, is_disabled
	FROM authsync.record_deliveries($1, $2, $3, $4, make_interval(secs => $5), make_interval(secs => $6), make_interval(secs => $7))`

// record records results of a destination and inserts the jobs of deliveries to be retried. It skips
// deliveries that have changed since they were sent.
func (s *Sender) record(ctx context.Context, to *admitted, results []sent) (done recorded, err error) {
	if err := s.countDeferrals(ctx, to, results); err != nil {
		return recorded{}, err
	}
	b := resultBatch{destinationID: to.destination.ID, rows: make([]resultRow, len(results)), now: s.config.Now()}
	for i := range results {
		d := &results[i]
		b.rows[i] = d.row()
		if d.ownJob() && d.State != delivery.StateRetrying {
			b.jobs = append(b.jobs, river.InsertManyParams{
				Args:       delivery.RetryArgs{DeliveryID: d.ID, DestinationID: b.destinationID, ProjectID: d.ProjectID},
				InsertOpts: &river.InsertOpts{ScheduledAt: d.retryAt, MaxAttempts: d.left()},
			})
			b.of = append(b.of, i)
		}
		if d.result.Outcome == destination.Pause || d.result.Outcome == destination.Disable {
			b.halts = true
		}
	}
	if len(b.jobs) == 0 && !b.halts {
		done, err = b.write(ctx, s.config.Pool)
	} else {
		err = pgdb.InTx(ctx, s.config.Pool, func(tx pgx.Tx) error {
			if err := b.insertJobs(ctx, tx); err != nil {
				return err
			}
			if done, err = b.write(ctx, tx); err != nil {
				return err
			}
			return b.halt(ctx, tx, results)
		})
	}
	if err != nil {
		return recorded{}, fmt.Errorf("record deliveries: %w", err)
	}
	done.halted = b.halts
	s.logResults(ctx, to.destination, results, done, b.now)
	return done, nil
}

// resultBatch are results of a destination on their way to the database.
type resultBatch struct {
	destinationID uuid.UUID
	rows          []resultRow
	now           time.Time
	jobs          []river.InsertManyParams
	of            []int // the rows of the jobs
	halts         bool  // an answer pauses or disables the destination
}

func (b *resultBatch) insertJobs(ctx context.Context, tx pgx.Tx) error {
	if len(b.jobs) == 0 {
		return nil
	}
	inserted, err := river.ClientFromContext[pgx.Tx](ctx).InsertManyTx(ctx, tx, b.jobs)
	if err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	for i, j := range inserted {
		b.rows[b.of[i]].JobID = &j.Job.ID
	}
	return nil
}

func (b *resultBatch) write(ctx context.Context, db pgdb.Querier) (recorded, error) {
	doc, err := json.Marshal(b.rows)
	if err != nil {
		return recorded{}, err
	}
	jitter := 0.85 + 0.3*rand.Float64()
	got, err := pgdb.CollectOne[struct {
		Promoted         int64
		BreakerOpenUntil *time.Time
		IsDisabled       bool
	}](ctx, db, recordDeliveries, b.destinationID, doc, b.now,
		breakerThreshold, breakerDuration.Seconds()*jitter, breakerMaxDuration.Seconds(), disableAfter.Seconds())
	return recorded{Promoted: got.Promoted, BreakerOpenUntil: got.BreakerOpenUntil, IsDisabled: got.IsDisabled}, err
}

// halt pauses or disables the destination if a result requires it.
func (b *resultBatch) halt(ctx context.Context, tx pgx.Tx, results []sent) error {
	for i := range results {
		state := ""
		switch results[i].result.Outcome {
		case destination.Pause:
			state = delivery.StatePaused
		case destination.Disable:
			state = delivery.StateDisabled
		default:
			continue
		}
		if _, err := tx.Exec(ctx, haltDestination, b.destinationID, state, delivery.Clean(results[i].result.Reason), b.now); err != nil {
			return err
		}
	}
	return nil
}

// row converts a result for the database.
func (s *sent) row() resultRow {
	row := resultRow{
		ID: s.ID, State: s.State, Attempts: s.Attempts, Coalesced: s.Coalesced, Outcome: s.outcome, Send: s.send,
		Deferrals: s.deferrals, KeepsExternalID: s.result.ExternalID == nil, ExternalID: s.result.ExternalID,
	}
	if row.Coalesced == nil {
		row.Coalesced = []int64{}
	}
	if s.result.Status != 0 {
		row.Status = &s.result.Status
	}
	if text := delivery.Clean(s.result.Response); text != "" {
		row.Response = &text
	}
	if text := delivery.Clean(s.result.Reason); text != "" {
		row.Reason = &text
	}
	if s.ownJob() {
		row.NextAttemptAt = &s.retryAt
	}
	if !s.sentAt.IsZero() {
		took := s.took.Milliseconds()
		kept := delivery.SentOf(&s.result)
		row.SentAt, row.DurationMS, row.Sent = &s.sentAt, &took, &kept
	}
	return row
}

// ownJob reports whether the delivery continues in a job of its own.
func (s *sent) ownJob() bool {
	return s.outcome == outcomeRetry || s.outcome == outcomeDeferred && (s.aside || s.State == delivery.StateRetrying)
}

// left returns the number of remaining attempts.
func (s *sent) left() int {
	left := 1 + delivery.Retries - s.Attempts
	if s.outcome == outcomeRetry {
		left--
	}
	return left
}

// classify derives the outcome from a result. Attempts by all jobs count.
func (s *Sender) classify(d *sent, probe bool) {
	d.probe = probe
	switch d.result.Outcome {
	case destination.Delivered:
		d.outcome = outcomeDelivered
	case destination.GiveUp:
		d.outcome = outcomeFailed
	case destination.Deferred, destination.Pause, destination.Disable:
		d.outcome = outcomeDeferred
		d.retryAt = s.config.Now().Add(s.config.Pause(deferralError(&d.result).After))
	case destination.Retry:
		switch {
		case probe:
			d.outcome = outcomeProbe
		case d.Attempts >= delivery.Retries:
			d.outcome = outcomeFailed
		default:
			d.outcome = outcomeRetry
		}
		d.retryAt = s.config.Now().Add(s.config.Pause(max(retryPause(d.Attempts+1), d.result.After)))
	}
}

const (
	firstPause = 5 * time.Second
	maxPause   = 12 * time.Hour
)

// retryPause returns the wait after a number of attempts: 5 s, tripled each time, at most 12 h, with 10 % jitter.
// Fifteen attempts take about three days.
func retryPause(attempts int) time.Duration {
	p := firstPause
	for i := 1; i < attempts && p < maxPause; i++ {
		p *= 3
	}
	p = min(p, maxPause)
	return p - p/10 + rand.N(p/5)
}

// logResults logs and counts results. Reasons are stored in the database only, because they may quote the
// response.
func (s *Sender) logResults(ctx context.Context, to *destcache.Destination, results []sent, r recorded, now time.Time) {
	log := s.config.Log.With(slog.String("destination_id", to.ID.String()), slog.String("type", to.TypeName))
	if len(results) > 0 { // all of one project
		log = log.With(slog.String("project_id", results[0].ProjectID.String()))
	}
	for i := range results {
		d := &results[i]
		s.config.Metrics.Attempted(to.TypeName, d.outcome)
		if d.outcome == outcomeDelivered {
			s.config.Metrics.Delivered(to.TypeName, now.Sub(d.ChangedAt))
		}
		level := slog.LevelDebug
		if d.outcome == outcomeRetry || d.outcome == outcomeFailed || d.outcome == outcomeProbe {
			level = slog.LevelWarn
		}
		log.LogAttrs(ctx, level, "delivery_attempted", slog.Int64("delivery_id", d.ID), slog.Int64("change_id", d.ChangeID),
			slog.Int("attempt", d.Attempts+1), slog.String("outcome", d.outcome),
			slog.Int("status", d.result.Status), slog.Duration("took", d.took))
	}
	if r.BreakerOpenUntil != nil {
		log.WarnContext(ctx, "destination_breaker_opened", slog.Time("until", *r.BreakerOpenUntil))
	}
	for i := range results {
		switch results[i].result.Outcome {
		case destination.Pause:
			s.config.Metrics.Halted(to.TypeName, delivery.StatePaused)
			log.ErrorContext(ctx, "destination_paused", slog.Int("status", results[i].result.Status))
			return
		case destination.Disable:
			r.IsDisabled = true
		default:
		}
	}
	if r.IsDisabled {
		s.config.Metrics.Halted(to.TypeName, delivery.StateDisabled)
		log.ErrorContext(ctx, "destination_disabled")
	}
}
