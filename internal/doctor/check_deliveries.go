package doctor

import "context"

// failedDeliveries counts deliveries that are not tried again by themselves.
func failedDeliveries(ctx context.Context, c *Control) ([]Fault, error) {
	return counted(`SELECT count(*) FROM authsync.deliveries WHERE state = 'failed'`,
		"%d failed and are not retried", "authsync deliveries list PROJECT --state failed says why; authsync deliveries retry sends them again")(ctx, c)
}
