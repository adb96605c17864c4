package doctor

import (
	"context"
	"fmt"
)

// selectFailing lists the kinds of jobs that keep failing. Failed events and deliveries have their
// own checks.
const selectFailing = `
	SELECT j.kind, count(*), (array_agg(j.errors[cardinality(j.errors)] ->> 'error' ORDER BY j.id DESC))[1]
	FROM authsync.river_job AS j
	WHERE j.kind NOT IN ('retry_event', 'retry_delivery')
	  AND (j.state = 'retryable' AND j.attempt >= 3 OR j.state = 'discarded' AND j.finalized_at > clock_timestamp() - interval '1 day')
	GROUP BY j.kind
	ORDER BY j.kind`

// stuckJobs counts overdue jobs and lists failing ones.
func stuckJobs(ctx context.Context, c *Control) ([]Fault, error) {
	stuck, err := counted(`SELECT count(*) FROM authsync.stuck_jobs`,
		"%d should have moved on", `psql "$DATABASE_URL" -c 'SELECT * FROM authsync.stuck_jobs'`)(ctx, c)
	if err != nil {
		return nil, err
	}
	type row struct {
		Kind string
		Jobs int64
		Last *string
	}
	found, err := collect[row](ctx, c, selectFailing)
	if err != nil {
		return nil, err
	}
	return append(stuck, named(found, func(r row) Fault {
		f := Fault{What: fmt.Sprintf("%d of %s failed again and again", r.Jobs, r.Kind), Next: "see the log of the workers, and River UI: /river/jobs"}
		if r.Last != nil {
			f.What += ": " + *r.Last
		}
		return f
	})...), nil
}
