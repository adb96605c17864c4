package doctor

import (
	"context"
	"strings"
	"time"
)

// webhookTime is how long setting up a webhook may take before doctor mentions it.
const webhookTime = 5 * time.Minute

// webhooks checks the webhooks that authsync sets up at the providers, by what is recorded of them.
func webhooks(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		Project, Provider, State, Problem string
		Missing, Differences              []string
	}
	found, err := collect[row](ctx, c, `
		SELECT p.name, w.provider, w.state, coalesce(w.problem, ''), w.missing_permissions, w.differences
		FROM authsync.provisioned_webhooks AS w
		JOIN authsync.projects AS p ON p.id = w.project_id
		JOIN authsync.integrations AS i ON i.project_id = w.project_id AND i.provider = w.provider
		WHERE i.options ->> 'provision' = 'true'
		  AND (w.state = 'blocked' OR w.state IN ('pending', 'testing') AND w.requested_at < $1 OR w.state = 'ready' AND w.differences <> '{}')
		ORDER BY p.name, w.provider`, c.Now().Add(-webhookTime))
	return named(found, func(r row) Fault {
		command := "authsync integrations set " + r.Project + " " + r.Provider + " --provision"
		what := "the webhook of " + r.Provider + " of project " + r.Project
		if r.State == "ready" {
			return Fault{
				What: what + " differs at the provider: " + strings.Join(r.Differences, "; "), Warning: true,
				Next: "if that was not intended: " + command,
			}
		}
		what += " is not set up: " + r.Problem
		if len(r.Missing) > 0 {
			what += "; missing: " + strings.Join(r.Missing, ", ")
		}
		if r.Problem == "" {
			what += "no worker has come to it yet"
		}
		return Fault{What: what, Next: "do what it says; then " + command}
	}), err
}
