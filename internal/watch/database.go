package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/plural"
)

const (
	partitionsNext = "run a process with the role worker (AUTHSYNC_ROLES): it makes the partitions"

	selectPartitions = `
		SELECT (SELECT count(*) FROM authsync.inbox_default),
		       (SELECT count(*) FROM authsync.inbox_days AS d WHERE d.day > ($1::timestamptz AT TIME ZONE 'UTC')::date)`
)

// MissingPartitions counts messages in the default partition, which retention cannot drop, and checks
// that the coming days have partitions.
func MissingPartitions(ctx context.Context, l *Look) (found []Finding, err error) {
	var messages, days int64
	if err := l.Pool.QueryRow(ctx, selectPartitions, l.Now).Scan(&messages, &days); err != nil {
		return nil, err
	}
	if messages > 0 {
		found = append(found, Finding{
			Kind: PartitionsMissing, Subject: "default",
			Detail: plural.Of(messages, "message") + plural.Word(messages, " is", " are") + " in no day's partition", Next: partitionsNext,
		})
	}
	if days < 2 {
		found = append(found, Finding{
			Kind:   PartitionsMissing,
			Detail: fmt.Sprintf("only %d of the coming days have a partition: maintain_inbox, which makes them every hour, has not run for days", days),
			Next:   partitionsNext,
		})
	}
	return found, nil
}

// maxSkew is the maximum difference between clocks: half of the smallest tolerance of signed
// timestamps.
const maxSkew = 30 * time.Second

// Clocks compares the control database's clock with this machine's.
func Clocks(ctx context.Context, l *Look) ([]Finding, error) {
	before := l.clock()
	var theirs time.Time
	if err := l.Pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return nil, err
	}
	middle := before.Add(l.clock().Sub(before) / 2)
	skew := theirs.Sub(middle).Abs()
	if skew <= maxSkew {
		return nil, nil
	}
	return []Finding{{
		Kind:   ClockSkew,
		Detail: fmt.Sprintf("the clock of the control database and this machine's are %s apart", skew.Round(time.Second)),
		Next:   "run NTP on both",
	}}, nil
}

// almost is the share of the limit from which the size is a problem.
const almost = 0.8

// databaseSize compares the size of the control database with the configured limit.
func databaseSize(ctx context.Context, l *Look) ([]Finding, error) {
	if l.SizeLimit <= 0 {
		return nil, nil
	}
	var bytes int64
	if err := l.Pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes); err != nil {
		return nil, err
	}
	f := Finding{
		Kind: DatabaseSize, Severity: Warning,
		Detail: fmt.Sprintf("the control database has %s of the %s that it may have (AUTHSYNC_DATABASE_LIMIT_BYTES)", megabytes(bytes), megabytes(l.SizeLimit)),
		Next: "see what takes the space (SELECT * FROM authsync.inbox_days, authsync.project_usage); " +
			"keep messages for less long (AUTHSYNC_INBOX_RETENTION, or authsync projects update PROJECT --keep inbox=DAYS), or give it a larger disk and raise the limit",
	}
	switch share := float64(bytes) / float64(l.SizeLimit); {
	case share < almost:
		return nil, nil
	case share >= 1:
		f.Severity = Failed
	}
	return []Finding{f}, nil
}

func megabytes(bytes int64) string { return fmt.Sprintf("%d MB", bytes/1_000_000) }
