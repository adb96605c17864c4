package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

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
	breakerThreshold   = 5 // users with failing deliveries, without any success
	breakerDuration    = 30 * time.Second
	breakerMaxDuration = 15 * time.Minute
	disableAfter       = 5 * 24 * time.Hour
	// probeTime is how long a probe may take before another one may start.
	probeTime = 30 * time.Second
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
func (r *run) record(ctx context.Context, results []sent) (done recorded, err error) {
	if err := r.countDeferrals(ctx, results); err != nil {
		return recorded{}, err
	}
	now := r.config.Now()
	rows := make([]resultRow, len(results))
	var jobs []river.InsertManyParams
	var of []int
	for i := range results {
		s := &results[i]
		rows[i] = s.row()
		if s.ownJob() && s.State != stateRetrying {
			jobs = append(jobs, river.InsertManyParams{
				Args:       RetryArgs{DeliveryID: s.ID, DestinationID: r.id, ProjectID: s.ProjectID},
				InsertOpts: &river.InsertOpts{ScheduledAt: s.retryAt, MaxAttempts: s.left()},
			})
			of = append(of, i)
		}
		if s.result.Outcome == destination.Pause || s.result.Outcome == destination.Disable {
			done.halted = true
		}
	}
	if len(jobs) == 0 && !done.halted {
		err = r.writeResults(ctx, r.config.Pool, r.id, rows, now, &done)
	} else {
		err = pgdb.InTx(ctx, r.config.Pool, func(tx pgx.Tx) error {
			if err := insertJobs(ctx, tx, jobs, of, rows); err != nil {
				return err
			}
			if err := r.writeResults(ctx, tx, r.id, rows, now, &done); err != nil {
				return err
			}
			return r.haltFor(ctx, tx, r.id, results, now)
		})
	}
	if err != nil {
		return recorded{}, fmt.Errorf("record deliveries: %w", err)
	}
	r.logResults(ctx, r.id, r.to.typeName, results, done, now)
	return done, nil
}

func insertJobs(ctx context.Context, tx pgx.Tx, jobs []river.InsertManyParams, of []int, rows []resultRow) error {
	if len(jobs) == 0 {
		return nil
	}
	inserted, err := river.ClientFromContext[pgx.Tx](ctx).InsertManyTx(ctx, tx, jobs)
	if err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	for i, j := range inserted {
		rows[of[i]].JobID = &j.Job.ID
	}
	return nil
}

func (o *Outbox) writeResults(
	ctx context.Context, db querier, destinationID uuid.UUID, rows []resultRow, now time.Time, r *recorded,
) error {
	doc, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	halted := r.halted
	jitter := 0.85 + 0.3*rand.Float64()
	got, err := queryOne[struct {
		Promoted         int64
		BreakerOpenUntil *time.Time
		IsDisabled       bool
	}](ctx, db, recordDeliveries, destinationID, doc, now, breakerThreshold, breakerDuration.Seconds()*jitter, breakerMaxDuration.Seconds(), disableAfter.Seconds())
	*r = recorded{Promoted: got.Promoted, BreakerOpenUntil: got.BreakerOpenUntil, IsDisabled: got.IsDisabled, halted: halted}
	return err
}

const haltDestination = `SELECT authsync.halt_destination($1, $2, 'system', $3, $4)`

// haltFor pauses or disables the destination if a result requires it.
func (o *Outbox) haltFor(ctx context.Context, tx pgx.Tx, destinationID uuid.UUID, results []sent, now time.Time) error {
	for i := range results {
		state := ""
		switch results[i].result.Outcome {
		case destination.Pause:
			state = StatePaused
		case destination.Disable:
			state = StateDisabled
		default:
			continue
		}
		if _, err := tx.Exec(ctx, haltDestination, destinationID, state, clean(results[i].result.Reason), now); err != nil {
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
	if text := clean(s.result.Response); text != "" {
		row.Response = &text
	}
	if text := clean(s.result.Reason); text != "" {
		row.Reason = &text
	}
	if s.ownJob() {
		row.NextAttemptAt = &s.retryAt
	}
	if !s.sentAt.IsZero() {
		row.SentAt = &s.sentAt
	}
	return row
}

// ownJob reports whether the delivery continues in a job of its own.
func (s *sent) ownJob() bool {
	return s.outcome == outcomeRetry || s.outcome == outcomeDeferred && (s.aside || s.State == stateRetrying)
}

// left returns the number of remaining attempts.
func (s *sent) left() int {
	left := 1 + retries - s.Attempts
	if s.outcome == outcomeRetry {
		left--
	}
	return left
}

// clean removes U+0000 and invalid UTF-8, which PostgreSQL's text does not accept.
func clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) > destination.MaxResponse {
		text = strings.ToValidUTF8(text[:destination.MaxResponse], "")
	}
	return text
}

// classify derives the outcome from a result. Attempts by all jobs count.
func (o *Outbox) classify(s *sent, probe bool) {
	s.probe = probe
	switch s.result.Outcome {
	case destination.Delivered:
		s.outcome = outcomeDelivered
	case destination.GiveUp:
		s.outcome = outcomeFailed
	case destination.Deferred, destination.Pause, destination.Disable:
		s.outcome = outcomeDeferred
		s.retryAt = o.config.Now().Add(o.config.Retry(deferralError(&s.result).after))
	case destination.Retry:
		switch {
		case probe:
			s.outcome = outcomeProbe
		case s.Attempts >= retries:
			s.outcome = outcomeFailed
		default:
			s.outcome = outcomeRetry
		}
		s.retryAt = o.config.Now().Add(o.config.Retry(max(pause(s.Attempts+1), s.result.After)))
	}
}

const (
	firstPause = 5 * time.Second
	maxPause   = 12 * time.Hour
)

// pause returns the wait after a number of attempts: 5 s, tripled each time, at most 12 h, with 10 % jitter.
// Fifteen attempts take about three days.
func pause(attempts int) time.Duration {
	p := firstPause
	for i := 1; i < attempts && p < maxPause; i++ {
		p *= 3
	}
	p = min(p, maxPause)
	return p - p/10 + rand.N(p/5)
}

// logResults logs and counts results. Reasons are stored in the database only, because they may quote the
// response.
func (o *Outbox) logResults(ctx context.Context, destinationID uuid.UUID, typeName string, results []sent, r recorded, now time.Time) {
	log := o.config.Log.With(slog.String("destination_id", destinationID.String()), slog.String("type", typeName))
	if len(results) > 0 { // all of one project
		log = log.With(slog.String("project_id", results[0].ProjectID.String()))
	}
	for i := range results {
		s := &results[i]
		o.metrics.attempt(typeName, s.outcome, s.ChangedAt, now)
		level := slog.LevelDebug
		if s.outcome == outcomeRetry || s.outcome == outcomeFailed || s.outcome == outcomeProbe {
			level = slog.LevelWarn
		}
		log.LogAttrs(ctx, level, "delivery_attempted", slog.Int64("delivery_id", s.ID), slog.Int64("change_id", s.ChangeID),
			slog.Int("attempt", s.Attempts+1), slog.String("outcome", s.outcome),
			slog.Int("status", s.result.Status), slog.Duration("took", s.took))
	}
	if r.BreakerOpenUntil != nil {
		log.WarnContext(ctx, "destination_breaker_opened", slog.Time("until", *r.BreakerOpenUntil))
	}
	for i := range results {
		switch results[i].result.Outcome {
		case destination.Pause:
			o.metrics.disabled.WithLabelValues(typeName, StatePaused).Inc()
			log.ErrorContext(ctx, "destination_paused", slog.Int("status", results[i].result.Status))
			return
		case destination.Disable:
			r.IsDisabled = true
		default:
		}
	}
	if r.IsDisabled {
		o.metrics.disabled.WithLabelValues(typeName, StateDisabled).Inc()
		log.ErrorContext(ctx, "destination_disabled")
	}
}
