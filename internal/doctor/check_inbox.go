package doctor

import "context"

// inboxPartitions counts messages that no partition of a day takes: retention cannot drop them.
func inboxPartitions(ctx context.Context, c *Control) ([]Fault, error) {
	return counted(`SELECT count(*) FROM authsync.inbox_default`,
		"%d messages are in no day's partition", "run a process with the role worker (AUTHSYNC_ROLES): it makes the partitions")(ctx, c)
}
