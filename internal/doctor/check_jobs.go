package doctor

import "context"

// stuckJobs counts jobs that should have finished.
func stuckJobs(ctx context.Context, c *Control) ([]Fault, error) {
	return counted(`SELECT count(*) FROM authsync.stuck_jobs`,
		"%d should have moved on", `psql "$DATABASE_URL" -c 'SELECT * FROM authsync.stuck_jobs'`)(ctx, c)
}
