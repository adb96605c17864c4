package sender

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// target is the state of a destination before sending.
type target struct {
	ProjectID         uuid.UUID
	State             string
	UpdatedAt         time.Time
	BreakerOpenUntil  *time.Time
	LastSuccessSentAt *time.Time
}

const selectTarget = `
	SELECT d.project_id, d.state, d.updated_at, f.breaker_open_until, f.last_success_sent_at
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id
	WHERE d.id = $1`

func (s *Sender) target(ctx context.Context, destinationID uuid.UUID) (target, error) {
	t, err := pgdb.CollectOne[target](ctx, s.config.Pool, selectTarget, destinationID)
	if errors.Is(err, pgx.ErrNoRows) {
		return target{}, delivery.ErrNoDestination
	}
	if err != nil {
		return target{}, fmt.Errorf("read the destination: %w", err)
	}
	return t, nil
}

// admitted is a destination to which deliveries may be sent, as of the start of the work.
type admitted struct {
	destination *destcache.Destination
	// breakerOpenUntil is set while the circuit breaker is open: only a probe may be sent.
	breakerOpenUntil *time.Time
	// lastSuccessSentAt is when the most recently sent of the successful deliveries was sent; nil if none
	// succeeded.
	lastSuccessSentAt *time.Time
}

// admit returns the destination if deliveries may be sent to it; nil if a user must act first.
func (s *Sender) admit(ctx context.Context, destinationID uuid.UUID) (*admitted, error) {
	t, err := s.target(ctx, destinationID)
	if errors.Is(err, delivery.ErrNoDestination) || err == nil && t.State != delivery.StateActive {
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, err
	}
	to, err := s.config.Destinations.Get(ctx, destinationID, t.UpdatedAt)
	if err != nil {
		return nil, s.pauseInvalid(ctx, destinationID, err)
	}
	return &admitted{destination: to, breakerOpenUntil: t.BreakerOpenUntil, lastSuccessSentAt: t.LastSuccessSentAt}, nil
}

const haltDestination = `SELECT authsync.halt_destination($1, $2, 'system', $3, $4)`

// pauseInvalid pauses a destination with an invalid configuration, which only a user can fix. Other errors are
// temporary.
func (s *Sender) pauseInvalid(ctx context.Context, destinationID uuid.UUID, err error) error {
	invalid, ok := fault.As(err)
	if !ok || invalid.Code != fault.Invalid {
		return err
	}
	if _, err := s.config.Pool.Exec(ctx, haltDestination, destinationID, delivery.StatePaused, invalid.Message, s.config.Now()); err != nil {
		return fmt.Errorf("pause the destination: %w", err)
	}
	s.config.Log.ErrorContext(ctx, "destination_paused", slog.String("destination_id", destinationID.String()), slog.Any("error", invalid))
	return nil
}

// probeTime is how long a probe of the circuit breaker may take before another one may start.
const probeTime = 30 * time.Second

const takeProbe = `SELECT authsync.take_breaker_probe($1, $2, $3, make_interval(secs => $4))`

// takeProbe allows one job among all processes to probe a destination whose breaker is open, once that is
// due. A breaker that is open for longer than any is was opened by a process whose clock was ahead.
func (s *Sender) takeProbe(ctx context.Context, destinationID uuid.UUID, open time.Time) error {
	now := s.config.Now()
	if open.After(now) && open.Sub(now) <= breakerMaxDuration {
		return &delivery.WaitError{After: open.Sub(now), Reason: "the destination has failed several times in a row; it is tried again " +
			"at " + open.UTC().Format(time.RFC3339)}
	}
	var isTaken bool
	if err := s.config.Pool.QueryRow(ctx, takeProbe, destinationID, open, now, probeTime.Seconds()).Scan(&isTaken); err != nil {
		return fmt.Errorf("take the probe: %w", err)
	}
	if !isTaken {
		return &delivery.WaitError{After: 2 * time.Second, Reason: "another job is probing the destination"}
	}
	return nil
}

const returnProbe = `SELECT authsync.return_breaker_probe($1, $2)`

// returnProbe lets another job probe, because there was nothing to send.
func (s *Sender) returnProbe(ctx context.Context, destinationID uuid.UUID) error {
	if _, err := s.config.Pool.Exec(ctx, returnProbe, destinationID, s.config.Now()); err != nil {
		return fmt.Errorf("return the probe: %w", err)
	}
	return nil
}
