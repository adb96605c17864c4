package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const selectExpiringKeys = `
	SELECT k.id, k.name, k.hint, k.role, coalesce(' --project ' || p.name, ''), k.expires_at
	FROM authsync.api_keys AS k
	LEFT JOIN authsync.projects AS p ON p.id = k.project_id
	WHERE k.revoked_at IS NULL AND k.expires_at > now() AND k.expires_at < now() + interval '14 days'
	AND k.last_used_at > now() - interval '30 days'
	ORDER BY k.expires_at, k.id`

// expiringKeys reports keys that are in use and will soon be refused.
func expiringKeys(ctx context.Context, c *Control) ([]Fault, error) {
	type row struct {
		ID                        uuid.UUID
		Name, Hint, Role, Project string
		ExpiresAt                 time.Time
	}
	found, err := collect[row](ctx, c, selectExpiringKeys)
	return named(found, func(r row) Fault {
		return Fault{
			What:    fmt.Sprintf("%s (%s…) is in use and expires at %s", r.Name, r.Hint, r.ExpiresAt.UTC().Format("2006-01-02 15:04Z")),
			Next:    fmt.Sprintf("authsync keys create NAME --role %s%s; give it to whoever uses this one, then: authsync keys revoke %s", r.Role, r.Project, r.ID),
			Warning: true,
		}
	}), err
}
