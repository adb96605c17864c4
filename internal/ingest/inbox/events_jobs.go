package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Job is a job that is to apply an event, or retried it.
type Job struct {
	ID          int64
	Kind        string
	State       string
	Attempt     int
	MaxAttempts int
	NextTryAt   *time.Time // nil once it has ended
	WaitReason  *string
	LastError   *string
}

// Both conditions on args use its index.
const selectJobs = `
	SELECT id, kind, state::text, attempt, max_attempts,
	       CASE WHEN finalized_at IS NULL THEN scheduled_at END AS next_try_at,
	       metadata #>> '{output,wait_reason}' AS wait_reason,
	       errors[cardinality(errors)] ->> 'error' AS last_error
	FROM authsync.river_job
	WHERE (kind = 'apply_inbox' AND finalized_at IS NULL AND args @> (
	           SELECT jsonb_build_object('project_id', i.project_id) FROM authsync.inbox AS i WHERE i.id = $1::bigint)
	       AND NOT EXISTS (SELECT FROM authsync.event_outcomes AS e WHERE e.inbox_id = $1::bigint))
	   OR (kind = 'retry_event' AND args @> jsonb_build_object('inbox_id', $1::bigint, 'ordinal', $2::integer))
	ORDER BY id`

// Jobs reads the jobs of an event: while it has no outcome that of its project, and those that
// retried it.
func (in *Inbox) Jobs(ctx context.Context, inboxID int64, ordinal int) ([]Job, error) {
	rows, err := in.pool.Query(ctx, selectJobs, inboxID, ordinal)
	if err != nil {
		return nil, fmt.Errorf("read the jobs of the event: %w", err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("read the jobs of the event: %w", err)
	}
	return jobs, nil
}
