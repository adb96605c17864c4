package doctor

import "context"

// failedEvents counts events that could not be applied.
func failedEvents(ctx context.Context, c *Control) ([]Fault, error) {
	return counted(`SELECT count(*) FROM authsync.event_failures`,
		"%d could not be applied", "authsync events list PROJECT --outcome failed says why")(ctx, c)
}
