package dashboard_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	destinations "github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// path is below the page of shop.
func (s *site) path(segments ...string) string {
	path := []string{"/projects", s.shop.ID.String()}
	for _, segment := range segments {
		path = append(path, url.PathEscape(segment))
	}
	return strings.Join(path, "/")
}

// history has the user change its address, and join an organization.
func (s *site) history(t *testing.T) {
	t.Helper()
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	s.send(t, provider.Sample{Type: "user.created", UserID: hostileID, At: at, Set: map[string]any{
		"email": "ada@example.com", "first_name": hostile, "unsafe_metadata": map[string]any{hostile: hostile},
	}})
	s.settled(t, 1)
	s.send(t, provider.Sample{Type: "user.updated", UserID: hostileID, At: at.Add(time.Minute), Set: map[string]any{"email": hostile, "first_name": hostile}})
	s.settled(t, 2)
	s.send(t, provider.Sample{Type: "organization.created", OrganizationID: "org_1", At: at, Set: map[string]any{"name": hostile}})
	s.send(t, provider.Sample{Type: "organizationMembership.created", OrganizationID: "org_1", UserID: hostileID, At: at})
	s.send(t, provider.Sample{Type: "session.created", UserID: hostileID, At: at.Add(2 * time.Minute)})
	s.send(t, provider.Sample{Type: "organizationInvitation.created", OrganizationID: "org_1", At: at, Set: map[string]any{"email_address": hostile}})
	s.send(t, provider.Sample{Type: "role.created"})
	s.settled(t, 7)
}

// trouble has everything that can be wrong be wrong, in hostile words, which begin with what they are about.
func (s *site) trouble(t *testing.T) {
	t.Helper()
	for _, n := range []int{2, 1, 0} {
		s.exec(t, `INSERT INTO authsync.rejected_requests (project_id, provider, received_at, status, reason, detail, header_names, remote_address, body_bytes)
			VALUES ($1, 'clerk', now() - $2 * interval '50 minutes', 401, 'signature_mismatch', $3, ARRAY[$3::text], '192.0.2.7', 12)`,
			s.shop.ID, n, "rejected "+hostile+strconv.Itoa(n))
	}
	s.exec(t, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, finished_at) VALUES ($1, 'clerk', 'backfill', 'failed', $2, now())`, s.shop.ID, "run "+hostile)
	s.exec(t, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, phase, total, read, report, drift, started_at, finished_at)
		VALUES ($1, 'clerk', 'reconcile', 'done', 'confirm', 1200, 1204, '{"records": {"user": 1200, "organization": 1, "membership": 3}}',
			jsonb_build_object('records', jsonb_build_object('membership', jsonb_build_object('orphaned', 1, 'left', 1, 'deletions_blocked_reason', 'blocked ' || $2,
				'unlisted_reason', 'unlisted ' || $2, 'examples', jsonb_build_array(jsonb_build_object('record_id', $3::text, 'finding', 'orphaned', 'state', 'open'))))),
			now() - interval '1 hour', now())`, s.shop.ID, hostile, record.MembershipID("org_1", hostileID))
	s.exec(t, `INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed, state, state_by, state_reason)
		VALUES ($1, 'crm', 'webhook', '', 'disabled', 'system', $2)`, s.shop.ID, "destination "+hostile)
	s.exec(t, `UPDATE authsync.event_outcomes SET outcome = 'failed', reason = $1, applied_at = NULL, event_id = $1
		WHERE type = 'user.updated'`, "event "+hostile)
	s.exec(t, `WITH deferred AS (
			UPDATE authsync.event_outcomes SET outcome = 'pending', reason = $1, applied_at = NULL, received_at = received_at - interval '5 minutes'
			WHERE type = 'session.created' RETURNING inbox_id, received_at)
		UPDATE authsync.inbox AS i SET received_at = d.received_at FROM deferred AS d WHERE i.id = d.inbox_id`, "deferred "+hostile)
	s.exec(t, `INSERT INTO authsync.river_job (kind, state, args, errors, finalized_at, metadata)
		SELECT 'retry_event', 'discarded', jsonb_build_object('inbox_id', e.inbox_id, 'ordinal', e.ordinal, 'project_id', e.project_id),
			ARRAY[jsonb_build_object('error', $1::text)], now(), jsonb_build_object('output', jsonb_build_object('wait_reason', $1::text))
		FROM authsync.event_outcomes AS e WHERE e.outcome = 'failed'`, "job "+hostile)
	// Kinds that no evaluation knows, and so does not close.
	s.exec(t, `INSERT INTO authsync.problems (kind, project_id, subject, severity, detail, next_step, opened_at, last_seen_at) VALUES
		('of_project', $1, 'clerk', 'failed', $2, $3, now(), now()), ('of_server', NULL, 'deliver', 'failed', $4, $3, now(), now()),
		('lag', $1, '', 'failed', $5, $3, now(), now())`,
		s.shop.ID, "silence "+hostile, "next "+hostile, "queue "+hostile, "lag "+hostile)
	s.exec(t, `UPDATE authsync.inbox SET headers = jsonb_build_object($1::text, $1::text), message_id = $1`, "message "+hostile)
}

// event is the path of the newest event of a type.
func (s *site) event(t *testing.T, eventType string) string {
	t.Helper()
	return s.path("events", s.Event(t, eventType))
}

// linksOf are the links of a page with a prefix.
func (s *site) linksOf(t *testing.T, path, prefix string) []string {
	t.Helper()
	p := s.get(t, path, s.all)
	return p.links(prefix)
}

// everyPage has a path of each page of shop.
func (s *site) everyPage(t *testing.T) []string {
	t.Helper()
	pages := []string{
		s.path(), s.path("events"), s.event(t, "user.created"), s.event(t, "user.updated"), s.path("records", "user", hostileID),
		s.path("integrations", "clerk"), s.path("integrations", "auth0"), s.path("records", "organization", "org_1"), s.path("records", "membership", record.MembershipID("org_1", hostileID)),
	}
	for _, d := range record.Types() {
		pages = append(pages, s.path("records", string(d.Type)))
	}
	for _, typ := range destinations.Names() {
		pages = append(pages, s.path("destinations", "new")+"?type="+typ)
	}
	return append(pages, s.path("destinations"), s.path("destinations", "new"), s.outbound(t), s.outbound(t)+"/change", s.outbound(t)+"/preview",
		s.outbound(t)+"/replay", s.outbound(t)+"/replay?state=failed", s.path("deliveries"), s.delivery(t), s.path("audit"))
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}
