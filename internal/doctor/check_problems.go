package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/watch"
)

// conditions returns a check of conditions that are watched as well, so that doctor and the problems agree.
func conditions(looks ...func(context.Context, *watch.Look) ([]watch.Finding, error)) func(context.Context, *Control) ([]Fault, error) {
	return func(ctx context.Context, c *Control) (faults []Fault, err error) {
		l := watch.NewLook(c.Pool, c.Now)
		for _, look := range looks {
			found, err := look(ctx, l)
			if err != nil {
				return nil, err
			}
			faults = append(faults, faultsOf(found)...)
		}
		return faults, nil
	}
}

// faultsOf reports the first few findings.
func faultsOf(found []watch.Finding) []Fault {
	return named(found, func(f watch.Finding) Fault {
		return Fault{What: f.Detail, Next: f.Next, Warning: f.Severity == watch.Warning}
	})
}

// unwatched is how long an evaluation of the problems may be over.
const unwatched = 5 * time.Minute

// problems reports the open problems that no other check looks at, and whether anybody looks for problems.
func problems(ctx context.Context, c *Control) ([]Fault, error) {
	open, err := watch.Open(ctx, c.Pool, nil)
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(p watch.Problem) bool { return slices.Contains(watch.Checked(), p.Kind) })
	faults := named(open, func(p watch.Problem) Fault {
		return Fault{
			What: fmt.Sprintf("%s (open since %s)", p.Detail, watch.Moment(p.OpenedAt)), Next: p.Next, Warning: p.Severity == watch.Warning,
		}
	})
	at, err := watch.EvaluatedAt(ctx, c.Pool)
	if err == nil && at != nil && c.Now().Sub(*at) > unwatched {
		faults = append(faults, Fault{
			What: "problems were last looked for at " + watch.Moment(*at),
			Next: "start authsync serve; if it runs, see problems_not_evaluated in its log",
		})
	}
	return faults, err
}
