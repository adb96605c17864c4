package doctor

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// controlCheck looks at one thing in the control database. An error means that it could not look.
type controlCheck struct {
	name string
	fine string // what doctor says where there is no fault
	look func(ctx context.Context, c *Control) ([]Fault, error)
}

// projectCheck looks at one thing of a project. Only its faults are printed.
type projectCheck struct {
	name string
	look func(ctx context.Context, p *Project) ([]Fault, error)
}

// controlChecks lists the checks of the control database, in the order of the output.
func controlChecks() []controlCheck {
	return []controlCheck{
		{"workers", "at work", workers},
		{"jobs", "none is stuck or failing", stuckJobs},
		{"messages", "none has waited for long", lateMessages},
		{"rejected requests", "none within the last hour", rejectedRequests},
		{"failed events", "there are none", failedEvents},
		{"deliveries", "none failed", failedDeliveries},
		{"inbox partitions", "each day has its own", inboxPartitions},
		{"destinations", "none is stopped or failing", destinations},
		{"sync runs", "none failed or is late", runs},
		{"refreshes", "none was given up", refreshes},
		{"clocks", "this machine and the database agree", clocks},
	}
}

// projectChecks lists the checks of each project. They are not made where the URL of its
// database cannot be opened; that is a fault by itself.
func projectChecks() []projectCheck {
	return []projectCheck{
		{"credentials", credentials},
		{"mirror", mirrorSchema},
		{"repairs", repairs},
	}
}

// maxNamed is how many of the same kind a check names; the rest it counts.
const maxNamed = 5

// collect reads rows of one kind, for a check to make faults of.
func collect[T any](ctx context.Context, c *Control, query string, args ...any) ([]T, error) {
	rows, err := c.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// perProject makes a fault of each project in which a query, which gives names and numbers, counts what should
// not be; what has one %d and the project's name as %s, next the name as %s.
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

// counted makes a fault of a query that counts what should not be; what has one %d.
func counted(query, what, next string) func(context.Context, *Control) ([]Fault, error) {
	return func(ctx context.Context, c *Control) ([]Fault, error) {
		var n int64
		if err := c.Pool.QueryRow(ctx, query).Scan(&n); err != nil || n == 0 {
			return nil, err
		}
		return []Fault{{What: fmt.Sprintf(what, n), Next: next}}, nil
	}
}

// named makes a fault of each, of the first few at least.
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
