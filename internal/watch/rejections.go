package watch

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/plural"
)

// Only the newest messages of the project: the question is whether any are accepted.
const selectRejections = `
	SELECT r.project_id, r.project, r.provider, r.last_hour, r.last_status, r.last_reason, EXISTS (
	    SELECT
	    FROM (
	        SELECT i.provider
	        FROM authsync.inbox AS i
	        WHERE i.project_id = r.project_id AND i.received_at > $1::timestamptz - interval '1 hour'
	        ORDER BY i.id DESC
	        LIMIT 1000
	    ) AS lately
	    WHERE lately.provider = r.provider
	) AS some_accepted
	FROM (
	    SELECT
	        q.project_id, p.name AS project, q.provider, sum(q.request_count)::bigint AS last_hour,
	        (array_agg(q.status ORDER BY q.id DESC))[1] AS last_status, (array_agg(q.reason ORDER BY q.id DESC))[1] AS last_reason
	    FROM authsync.rejected_requests AS q
	    JOIN authsync.projects AS p ON p.id = q.project_id
	    WHERE q.received_at > $1::timestamptz - interval '1 hour'
	    GROUP BY q.project_id, p.name, q.provider
	) AS r
	ORDER BY some_accepted, r.last_hour DESC, r.project, r.provider`

// quotaExceeded is the reason for a project that has reached its quota.
const quotaExceeded = "storage_quota_exceeded"

// RejectedRequests finds integrations whose requests were rejected within the last hour. If
// others were accepted it is minor, because anyone who knows the URL can cause it. The subject is the provider.
func RejectedRequests(ctx context.Context, l *Look) ([]Finding, error) {
	type row struct {
		ProjectID         uuid.UUID
		Project, Provider string
		LastHour          int64
		LastStatus        int
		LastReason        string
		SomeAccepted      bool
	}
	found, err := collect[row](ctx, l, selectRejections, l.Now)
	return each(found, func(r row) Finding {
		why, next := refused(r.LastReason, r.Project, r.Provider)
		f := Finding{
			Kind: RequestsRejected, ProjectID: &r.ProjectID, Subject: r.Provider,
			Detail: fmt.Sprintf("%s of %s for project %s %s rejected within the last hour, the last because %s",
				plural.Of(r.LastHour, "request"), r.Provider, r.Project, plural.Word(r.LastHour, "was", "were"), why),
			Next: next + "; authsync events rejected " + r.Project + " shows them",
		}
		if r.LastReason != quotaExceeded && (r.SomeAccepted || r.LastStatus != 401) {
			f.Severity, f.Minor = Warning, true
		}
		if !r.SomeAccepted {
			f.Detail += "; none was accepted"
		}
		return f
	}), err
}

// refused explains why a request was rejected, and what to do first.
func refused(reason, projectName, providerName string) (why, next string) {
	set := "authsync integrations set " + projectName + " " + providerName + " --webhook-signing-secret-file -"
	switch reason {
	case "signature_mismatch":
		return "it was signed with another secret than the integration has", "compare it with the provider's, and give the right one: " + set
	case "secret_of_other_integration":
		return "it was signed with the secret of another integration", "point the provider at the URL of its own: authsync integrations list " + projectName
	case "secret_not_set":
		return "the integration has no signing secret", "give it the provider's: " + set
	case quotaExceeded:
		return "the project has stored as many messages as it may",
			"allow more (AUTHSYNC_PROJECT_QUOTA_BYTES), or keep messages for less long (authsync projects update PROJECT --keep inbox=DAYS); providers send again for a while"
	case "signature_missing", "signature_malformed":
		return "it had no signature as " + providerName + " writes it", "see that the provider signs, and that no proxy takes headers away"
	default:
		return "of " + reason, "see what was refused"
	}
}
