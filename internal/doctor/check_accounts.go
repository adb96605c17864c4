package doctor

import (
	"context"
	"fmt"

	"github.com/authsync/authsync/internal/plural"
)

// The reasons are those of the providers' decoders; the title of both providers is their name with a capital.
const selectOtherAccounts = `
	SELECT p.name AS project, i.provider, i.account_mark, ignored.events
	FROM authsync.integrations AS i
	JOIN authsync.projects AS p ON p.id = i.project_id
	CROSS JOIN LATERAL (
	    SELECT count(*) AS events
	    FROM (
	        SELECT
	        FROM authsync.event_outcomes AS o
	        WHERE o.project_id = i.project_id AND o.outcome = 'ignored' AND o.received_at > clock_timestamp() - interval '1 day'
	            AND o.reason ^@ ('it is of another ' || initcap(i.provider))
	        LIMIT 1000
	    ) AS chosen
	) AS ignored
	WHERE i.account_mark IS NOT NULL AND i.provider IN ('auth0', 'clerk') AND ignored.events > 0
	ORDER BY p.name, i.provider`

// otherAccounts reports integrations whose webhooks come from another account than the one whose users are read.
func otherAccounts(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project, Provider, AccountMark string
		Events                         int64
	}
	found, err := collect[row](ctx, c, selectOtherAccounts)
	return named(found, func(r row) Fault {
		return Fault{
			What: fmt.Sprintf("%s of %s for project %s within a day %s ignored: %s of another account than %.100s, whose users are read",
				plural.Of(r.Events, "event"), r.Provider, r.Project, plural.Word(r.Events, "was", "were"), plural.Word(r.Events, "it is", "they are"), r.AccountMark),
			Next: "use the webhook and the credentials of one account; authsync integrations set " + r.Project + " " + r.Provider +
				" --adopt-account takes the credentials of another one. Then authsync events replay " + r.Project + " --outcome ignored",
		}
	}), err
}
