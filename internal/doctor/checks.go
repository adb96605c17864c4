package doctor

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/watch"
)

// controlCheck checks one thing in the control database. An error means that it could not be
// checked.
type controlCheck struct {
	name string
	fine string // doctor's message if there is no fault
	look func(ctx context.Context, c *Control) ([]Fault, error)
}

// projectCheck checks one thing of a project. Only its faults are printed.
type projectCheck struct {
	name string
	look func(ctx context.Context, p *Project) ([]Fault, error)
}

// controlChecks lists the checks of the control database, in the order of the output.
func controlChecks() []controlCheck {
	return []controlCheck{
		{"workers", "at work", workers},
		{"jobs", "none is stuck or failing", stuckJobs},
		{"messages", "none has waited for long", conditions(watch.LaggingProjects)},
		{"rejected requests", "none within the last hour", conditions(watch.RejectedRequests)},
		{"pulls", "none is failing", pulls},
		{"failed events", "there are none", failedEvents},
		{"deliveries", "none failed", failedDeliveries},
		{"inbox partitions", "each day has its own", conditions(watch.MissingPartitions)},
		{"retention", "nothing is kept for longer than it may", retained},
		{"destinations", "none is stopped or failing", conditions(watch.Destinations)},
		{"sync runs", "none failed or is late", conditions(watch.SyncRuns, watch.OverdueReconciles)},
		{"clones", "all follow their projects", conditions(watch.ClonesBehind)},
		{"refreshes", "none was given up", refreshes},
		{"webhooks", "those that authsync sets up are ready", webhooks},
		{"accounts", "events are of the account that is read", otherAccounts},
		{"keys", "none in use expires within 14 days", conditions(watch.ExpiringKeys)},
		{"clocks", "this machine and the database agree", conditions(watch.Clocks)},
		{"problems", "none is open beyond what is above", problems},
	}
}

// projectChecks lists the checks of each project. They are skipped if the URL of its database
// cannot be decrypted, which is a fault by itself.
func projectChecks() []projectCheck {
	return []projectCheck{
		{"credentials", credentials},
		{"mirror", mirrorSchema},
		{"repairs", repairs},
	}
}

// maxNamed is how many faults of a kind a check lists; it counts the rest.
const maxNamed = 5

// collect reads a check's rows.
func collect[T any](ctx context.Context, c *Control, query string, args ...any) ([]T, error) {
	rows, err := c.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// perProject returns a check that reports a fault for each project in the query's result, which has
// names and numbers; what has one %d and the project's name as %s, next the name as %s.
func perProject(query, what, next string) func(context.Context, *Control) ([]Fault, error) {
	return func(ctx context.Context, c *Control) ([]Fault, error) {
		type row struct {
			Project string
			N       int64
		}
		found, err := collect[row](ctx, c, query)
		return named(found, func(r row) Fault {
			return Fault{What: fmt.Sprintf(what, r.N, r.Project), Next: fmt.Sprintf(next, r.Project)}
		}), err
	}
}

// counted returns a check that reports a fault if the query counts any; what has one %d.
func counted(query, what, next string) func(context.Context, *Control) ([]Fault, error) {
	return func(ctx context.Context, c *Control) ([]Fault, error) {
		var n int64
		if err := c.Pool.QueryRow(ctx, query).Scan(&n); err != nil || n == 0 {
			return nil, err
		}
		return []Fault{{What: fmt.Sprintf(what, n), Next: next}}, nil
	}
}

// named reports a fault for each of the first few.
func named[T any](all []T, fault func(T) Fault) []Fault {
	var faults []Fault
	for i, one := range all {
		if i == maxNamed {
			last := faults[len(faults)-1]
			return append(faults, Fault{What: fmt.Sprintf("and %d more", len(all)-maxNamed), Next: last.Next, Warning: last.Warning})
		}
		faults = append(faults, fault(one))
	}
	return faults
}
