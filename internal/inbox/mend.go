package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// mendSize is how many deliveries one transaction of Mend looks at.
	mendSize = 20_000
	// mendTime is when Mend stops, to go on the next time: the first look at a large inbox takes longer.
	mendTime = 10 * time.Second
)

// Mended is what Mend did.
type Mended struct{ Jobs, Deliveries int }

const (
	watchInbox = `SELECT authsync.watch_inbox(now(), $1)`

	selectLost = `
		SELECT l.inbox_id, 0 AS ordinal, l.project_id, l.received_at, l.bytes
		FROM authsync.settle_inbox($1) AS l`
)

// Mend makes jobs for deliveries that have neither an outcome nor a job that is not
// finished: a person cancelled or deleted it. It finds them two to five minutes after they
// came, or as soon as it runs if the job went later. The jobs are as those of Replay:
// of one project and of bounded size, and each asks for a place in its project's lane.
//
// Each delivery is looked at once, and then only if it had no outcome yet. Any number of
// processes may call it at once. Killed, it has done a part, and the next call does the rest.
func (in *Inbox) Mend(ctx context.Context) (m Mended, err error) {
	until := time.Now().Add(mendTime)
	for more := true; more && time.Now().Before(until); {
		if err := in.pool.QueryRow(ctx, watchInbox, mendSize).Scan(&more); err != nil {
			return m, fmt.Errorf("look for late deliveries: %w", err)
		}
	}
	for {
		lost, jobs, err := in.mendPage(ctx)
		if err != nil {
			return m, fmt.Errorf("make jobs for deliveries that lost theirs: %w", err)
		}
		m.Jobs += jobs
		m.Deliveries += lost
		if lost == 0 || time.Now().After(until) {
			return m, nil
		}
	}
}

// mendPage makes jobs for the first page of the deliveries that lost theirs.
func (in *Inbox) mendPage(ctx context.Context) (lost, jobs int, err error) {
	err = pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectLost, mendSize)
		if err != nil {
			return err
		}
		deliveries, err := pgx.CollectRows(rows, pgx.RowToStructByName[replayed])
		if err != nil {
			return err
		}
		lost = len(deliveries)
		jobs, err = in.replayDeliveries(ctx, tx, deliveries)
		return err
	})
	return lost, jobs, err
}
