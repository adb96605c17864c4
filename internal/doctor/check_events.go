package doctor

import "context"

// failedEvents counts events that could not be applied.
func failedEvents(ctx context.Context, c *Control) ([]Fault, error) {
	return perProject(`SELECT f.project, count(*) FROM authsync.event_failures AS f GROUP BY f.project ORDER BY 2 DESC, 1`,
		"%d of project %s could not be applied", "authsync events list %s --outcome failed says why")(ctx, c)
}
