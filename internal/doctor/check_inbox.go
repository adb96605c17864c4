package doctor

import (
	"context"
	"fmt"
)

const partitionsNext = "run a process with the role worker (AUTHSYNC_ROLES): it makes the partitions"

// inboxPartitions counts messages in the default partition, which retention cannot drop, and checks
// that the coming days have partitions.
func inboxPartitions(ctx context.Context, c *Control) ([]Fault, error) {
	faults, err := counted(`SELECT count(*) FROM authsync.inbox_default`,
		"%d messages are in no day's partition", partitionsNext)(ctx, c)
	if err != nil {
		return nil, err
	}
	var days int
	err = c.Pool.QueryRow(ctx, `
		SELECT count(*) FROM authsync.inbox_days AS d WHERE d.day > (clock_timestamp() AT TIME ZONE 'UTC')::date`).Scan(&days)
	if err != nil || days >= 2 {
		return faults, err
	}
	return append(faults, Fault{
		What: fmt.Sprintf("only %d of the coming days have a partition: maintain_inbox, which makes them every hour, has not run for days", days),
		Next: partitionsNext,
	}), nil
}
