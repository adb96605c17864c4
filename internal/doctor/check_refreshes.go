package doctor

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/watch"
)

// refreshes reports users that could not be read from their provider.
func refreshes(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project, Provider string
		Waiting, GivenUp  int64
		Problem           string
	}
	found, err := collect[row](ctx, c, `
		SELECT w.project, w.provider, w.waiting, w.given_up, coalesce(w.last_error, w.wait_reason, '')
		FROM authsync.pending_refreshes AS w
		WHERE w.given_up > 0 OR w.oldest < clock_timestamp() - $1::interval
		ORDER BY 1, 2`, watch.StandsFor)
	if err != nil {
		return nil, err
	}
	return named(found, func(r row) Fault {
		return Fault{
			What: fmt.Sprintf("users of %s in project %s are to be read from it: %d wait, %d were given up: %s", r.Provider, r.Project, r.Waiting, r.GivenUp, r.Problem),
			Next: "see to the reason, then authsync refresh " + r.Project + " USER; SELECT * FROM authsync.pending_refreshes names them",
		}
	}), nil
}
