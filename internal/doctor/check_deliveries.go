package doctor

import "context"

// failedDeliveries counts deliveries that are not retried automatically.
func failedDeliveries(ctx context.Context, c *Control) ([]Fault, error) {
	return perProject(`
		SELECT p.name, count(*)
		FROM authsync.deliveries AS d JOIN authsync.projects AS p ON p.id = d.project_id
		WHERE d.state = 'failed'
		GROUP BY p.name ORDER BY 2 DESC, 1`,
		"%d of project %s failed and are not retried", "authsync deliveries list %s --state failed says why; authsync deliveries retry sends them again")(ctx, c)
}
