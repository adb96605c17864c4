package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const selectExpiringKeys = `
	SELECT k.id, k.project_id, k.name, k.hint, k.role, coalesce(' --project ' || p.name, ''), k.expires_at
	FROM authsync.api_keys AS k
	LEFT JOIN authsync.projects AS p ON p.id = k.project_id
	WHERE k.revoked_at IS NULL AND k.expires_at > $1::timestamptz AND k.expires_at < $1::timestamptz + interval '14 days'
	AND k.last_used_at > $1::timestamptz - interval '30 days'
	ORDER BY k.expires_at, k.id`

// ExpiringKeys finds keys that are in use and will soon be refused. The subject is the id of the key.
func ExpiringKeys(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ID                        uuid.UUID
		ProjectID                 *uuid.UUID
		Name, Hint, Role, Project string
		ExpiresAt                 time.Time
	}
	found, err := collect[row](ctx, l, selectExpiringKeys, l.Now)
	return each(found, func(r row) Finding {
		return Finding{
			Kind: KeyExpiring, ProjectID: r.ProjectID, Subject: r.ID.String(), Severity: Warning,
			Detail: fmt.Sprintf("%s (%s…) is in use and expires at %s", r.Name, r.Hint, Moment(r.ExpiresAt)),
			Next:   fmt.Sprintf("authsync keys create NAME --role %s%s; give it to whoever uses this one, then: authsync keys revoke %s", r.Role, r.Project, r.ID),
		}
	}), err
}
