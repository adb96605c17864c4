package admin

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// Delivery is one change to be sent to one destination.
type Delivery struct {
	ID            int64
	DestinationID uuid.UUID
	Destination   string
	ChangeID      int64
	MessageID     string `db:"-"`
	RecordType    string
	RecordID      string
	UserID        *string // the user that the record is or belongs to
	EventType     string
	Changed       []string
	State         string
	HeldUntil     *time.Time // when it is sent, if it is held; nil: it is not
	Attempts      int
	Deferrals     int
	NextAttemptAt *time.Time
	LastAttemptAt *time.Time
	LastStatus    *int
	LastResponse  *string
	Reason        *string
	CoalescedInto *int64
	JobID         *int64
	ChangedAt     time.Time
	CreatedAt     time.Time
	FinishedAt    *time.Time
}

// ListFilter selects deliveries. Empty fields match everything.
type ListFilter struct {
	DestinationID uuid.UUID
	State         string
	UserID        string // the user, its memberships and sessions
	RecordType    string // with RecordID
	RecordID      string
	EventType     string
	Limit         int    // 0: 50; at most 500
	Cursor        string // returned by ListDeliveries for the next page
}

const (
	listDefault = 50
	listAtMost  = 500

	deliveryColumns = `
		o.id, o.destination_id, d.name AS destination, o.change_id, o.record_type, o.record_id, o.user_id,
		       o.event_type, o.changed, o.state,
		       CASE o.state WHEN 'held' THEN o.held_from + coalesce(d.holdback, interval '0') END AS held_until, o.attempts, o.deferrals,
		       o.next_attempt_at, o.last_attempt_at, o.last_status, o.last_response, o.reason, o.coalesced_into, o.job_id,
		       o.changed_at, o.created_at, o.finished_at`

	ofProject = `
		FROM authsync.deliveries AS o
		JOIN authsync.destinations AS d ON d.id = o.destination_id
		WHERE o.project_id = $1`

	newestDeliveries = `
		ORDER BY o.id DESC
		LIMIT $4`

	ofDestinations = `
		WHERE d.project_id = $1 AND ($2::uuid IS NULL OR d.id = $2)` + newestDeliveries

	// The newest of each destination, and of these the newest: a state may be rare, and a destination have few deliveries.
	// Each in an order that one index alone has, so that no plan can look for them among all deliveries.
	listDeliveries = `
		SELECT` + deliveryColumns + `
		FROM authsync.destinations AS d
		CROSS JOIN LATERAL (
			SELECT o.*
			FROM authsync.deliveries AS o
			WHERE o.project_id = $1 AND o.destination_id = d.id AND o.id < $3
			ORDER BY o.id DESC NULLS LAST
			LIMIT $4
		) AS o` + ofDestinations

	listDeliveriesInState = `
		SELECT` + deliveryColumns + `
		FROM authsync.destinations AS d
		CROSS JOIN LATERAL (
			SELECT o.*
			FROM authsync.deliveries AS o
			WHERE o.project_id = $1 AND o.destination_id = d.id AND o.state = $5 AND o.id + 0 < $3
			ORDER BY o.id + 0 DESC
			LIMIT $4
		) AS o` + ofDestinations

	// Those of a type in some states, or in all of them.
	listDeliveriesOfType = `
		SELECT` + deliveryColumns + `
		FROM authsync.destinations AS d
		CROSS JOIN unnest($6::text[]) AS s (state)
		CROSS JOIN LATERAL (
			SELECT o.*
			FROM authsync.deliveries AS o
			WHERE o.project_id = $1 AND o.destination_id = d.id AND o.event_type = $5 AND o.state = s.state AND o.id + 0 < $3
			ORDER BY o.id + 0 DESC NULLS LAST
			LIMIT $4
		) AS o` + ofDestinations

	// Those of a user or a record have indexes of their own. The planner removes conditions whose parameter is null.
	listDeliveriesOf = `
		SELECT` + deliveryColumns + ofProject + `
		  AND ($2::uuid IS NULL OR o.destination_id = $2) AND o.id < $3 AND ($5::text IS NULL OR o.user_id = $5)
		  AND ($6::text IS NULL OR o.record_id = $6) AND ($7::text IS NULL OR o.record_type = $7)
		  AND ($8::text IS NULL OR o.state = $8) AND ($9::text IS NULL OR o.event_type = $9)` + newestDeliveries
)

// ListDeliveries returns a page of a project's deliveries, newest first. next is the cursor of the next page,
// empty on the last one.
func (a *Admin) ListDeliveries(ctx context.Context, projectID uuid.UUID, f ListFilter) (all []Delivery, next string, err error) {
	before := int64(math.MaxInt64)
	if f.Cursor != "" {
		if before, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil || before < 1 {
			return nil, "", fault.ErrBadCursor
		}
	}
	limit := min(cmp.Or(f.Limit, listDefault), listAtMost)
	var destinationID *uuid.UUID
	if f.DestinationID != uuid.Nil {
		destinationID = &f.DestinationID
	}
	statement, args := f.statement(projectID, destinationID, before, limit+1)
	err = pgx.BeginTxFunc(ctx, a.config.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
			if _, err = tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		all, err = pgdb.Collect[Delivery](ctx, tx, statement, args...)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	if len(all) > limit {
		all = all[:limit]
		next = strconv.FormatInt(all[limit-1].ID, 10)
	}
	for i := range all {
		all[i].complete()
	}
	return all, next, nil
}

// statement is the one that reads what the filter selects from an index.
func (f *ListFilter) statement(projectID uuid.UUID, destinationID *uuid.UUID, before int64, limit int) (sql string, args []any) {
	args = []any{pgdb.Planned, projectID, destinationID, before, limit}
	switch {
	case f.UserID != "" || f.RecordID != "":
		return listDeliveriesOf, append(args,
			pgdb.NullText(f.UserID), pgdb.NullText(f.RecordID), pgdb.NullText(f.RecordType), pgdb.NullText(f.State), pgdb.NullText(f.EventType))
	case f.EventType != "" && f.State != "":
		return listDeliveriesOfType, append(args, f.EventType, []string{f.State})
	case f.EventType != "":
		return listDeliveriesOfType, append(args, f.EventType, delivery.States())
	case f.State != "":
		return listDeliveriesInState, append(args, f.State)
	default:
		return listDeliveries, args
	}
}

// complete fills in computed fields and converts times to UTC.
func (d *Delivery) complete() {
	d.MessageID = destination.MessageID(d.DestinationID, d.ChangeID)
	d.ChangedAt, d.CreatedAt = d.ChangedAt.UTC(), d.CreatedAt.UTC()
	for _, at := range []*time.Time{d.HeldUntil, d.NextAttemptAt, d.LastAttemptAt, d.FinishedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
}

// Health summarizes the state of a destination.
type Health struct {
	DestinationID    uuid.UUID
	Waiting          int64 // blocked or ready
	Retrying         int64
	Failed           int64
	Held             int64      // deletions that are held back, and what follows them
	HeldUntil        *time.Time // when the first of these is sent
	OldestWaitingAt  *time.Time // the oldest change not yet delivered
	LastSuccessAt    *time.Time
	FailingSince     *time.Time
	BreakerOpenUntil *time.Time // nil: the circuit breaker is closed
	WaitReason       *string    // why nothing is sent now
}

const selectHealth = `
	SELECT destination_id, waiting, retrying, failed, held, held_until, oldest_waiting_at, last_success_at, failing_since, breaker_open_until, wait_reason
	FROM authsync.destination_health
	WHERE project_id = $1`

// Health returns the health of each of a project's destinations.
func (a *Admin) Health(ctx context.Context, projectID uuid.UUID) (map[uuid.UUID]Health, error) {
	all, err := pgdb.Collect[Health](ctx, a.config.Pool, selectHealth, projectID)
	if err != nil {
		return nil, fmt.Errorf("read the health of destinations: %w", err)
	}
	byID := make(map[uuid.UUID]Health, len(all))
	for _, h := range all {
		for _, at := range []*time.Time{h.HeldUntil, h.OldestWaitingAt, h.LastSuccessAt, h.FailingSince, h.BreakerOpenUntil} {
			if at != nil {
				*at = at.UTC()
			}
		}
		byID[h.DestinationID] = h
	}
	return byID, nil
}
