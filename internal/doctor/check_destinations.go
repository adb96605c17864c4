package doctor

import (
	"context"
	"fmt"
	"time"
)

// failingFor is how long a destination fails before it is no passing trouble.
const failingFor = 10 * time.Minute

// selectTroubled lists the destinations that authsync stopped by itself, and those that
// have failed for so long that it is no passing trouble. What a person paused is meant.
const selectTroubled = `
	SELECT p.name, d.name,
	       CASE WHEN d.state = 'active' THEN 'fails since ' || to_char(f.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI"Z"')
	            ELSE 'is ' || d.state || coalesce(': ' || d.state_reason, '') END
	FROM authsync.destinations AS d
	JOIN authsync.projects AS p ON p.id = d.project_id
	LEFT JOIN authsync.destination_flows AS f ON f.destination_id = d.id
	WHERE (d.state <> 'active' AND d.state_by = 'authsync')
	   OR (d.state = 'active' AND f.failing_since < now() - $1::interval)
	ORDER BY p.name, d.name`

// destinations names those that do not get their deliveries.
func destinations(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct{ Project, Name, State string }
	found, err := collect[row](ctx, c, selectTroubled, failingFor)
	if err != nil {
		return nil, err
	}
	return named(found, func(r row) Fault {
		return Fault{
			What: fmt.Sprintf("%s of project %s %s", r.Name, r.Project, r.State),
			Next: fmt.Sprintf("authsync destinations show %s %s", r.Project, r.Name),
		}
	}), nil
}
