package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/pgdb"
)

// DeliveryDetail is a delivery with its last attempts, newest first.
type DeliveryDetail struct {
	Delivery

	AttemptLog []Attempt
}

// Attempt is an attempt to send a delivery, as authsync.add_attempt stores it. Fields that are not known are nil.
type Attempt struct {
	Number      int64      `json:"number"`       // 1 is the first; deferrals count, too
	AttemptedAt *time.Time `json:"attempted_at"` // when its outcome was recorded; of an unknown one when it began
	Outcome     string     `json:"outcome"`      // delivered, retried, deferred, failed, cancelled or unknown
	Status      *int       `json:"status"`
	DurationMS  *int64     `json:"duration_ms"`
	Reason      *string    `json:"reason"`
	Response    *string    `json:"response"`
	// IsResponseCut reports that there was more of the response.
	IsResponseCut bool `json:"response_cut"`
	// Sent are its requests; they are nil if nobody knows them: of an unknown attempt, and of one without a log.
	delivery.Sent
}

// The log does not have the only attempt of a delivery if that succeeded, nor one that has begun and of which nothing is
// recorded: it is under way, or its process died. Only destinations that take states note that it begins.
const findDelivery = `
	SELECT` + deliveryColumns + `, to_jsonb(CASE
		       WHEN o.begun_at IS NOT NULL
		           THEN authsync.add_attempt(o.attempt_log, o.begun_at, NULL, 'unknown', NULL, NULL, NULL, NULL)
		       WHEN o.attempt_log IS NOT NULL THEN o.attempt_log
		       WHEN o.state = 'delivered'
		           THEN authsync.add_attempt(NULL, o.last_attempt_at, NULL, o.state, o.last_status, o.reason, o.last_response, NULL)
		       END) AS attempt_log` + ofProject + ` AND o.id = $2`

// FindDelivery returns one delivery, or ErrNoDelivery.
func (a *Admin) FindDelivery(ctx context.Context, projectID uuid.UUID, id int64) (DeliveryDetail, error) {
	d, err := pgdb.CollectOne[DeliveryDetail](ctx, a.config.Pool, findDelivery, pgdb.Planned, projectID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return DeliveryDetail{}, ErrNoDelivery
	}
	if err != nil {
		return DeliveryDetail{}, fmt.Errorf("read the delivery: %w", err)
	}
	d.complete()
	slices.Reverse(d.AttemptLog)
	var later []string
	for i := range d.AttemptLog {
		if a := &d.AttemptLog[i]; a.Bodies == nil { // the same as those of the attempt after it
			a.Bodies = later
		}
		later = d.AttemptLog[i].Bodies
	}
	return d, nil
}
