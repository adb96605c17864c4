package browsertest_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/waittest"
	"github.com/authsync/authsync/internal/watch"
)

// hostile is a text that becomes a script wherever it is not escaped.
const hostile = `"'></title></textarea><script>window.__pwned=1</script><img src=x onerror=window.__pwned=2><svg onload=window.__pwned=3>{{.}}`

// hostileID is the id of a user.
const hostileID = `user/../<script>window.__pwned=4</script>?a=b#c"'><img src=x onerror=window.__pwned=5>`

// What is stored is shown as text, wherever it is: look finds on each page that no script of it has run.
func TestStoredScriptsDoNotRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	shop := s.Shop(t)
	s.history(shop, hostileID, hostile)
	run(t, s.Control, `INSERT INTO authsync.rejected_requests (project_id, provider, received_at, status, reason, detail, header_names, remote_address, body_bytes)
		VALUES ($1, 'clerk', now(), 401, 'signature_mismatch', $2, ARRAY[$2::text], '192.0.2.7', 12)`, shop.ID, hostile)
	run(t, s.Control, `INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, finished_at) VALUES ($1, 'clerk', 'backfill', 'failed', $2, now())`, shop.ID, hostile)
	run(t, s.Control, `INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed, state, state_by, state_reason)
		VALUES ($1, 'crm', 'webhook', '', 'disabled', 'system', $2)`, shop.ID, hostile)
	run(t, s.Control, `UPDATE authsync.event_outcomes SET outcome = 'failed', reason = $1, applied_at = NULL, event_id = $1 WHERE type = 'user.updated'`, hostile)
	run(t, s.Control, `INSERT INTO authsync.river_job (kind, state, args, errors, finalized_at, metadata)
		SELECT 'retry_event', 'discarded', jsonb_build_object('inbox_id', e.inbox_id, 'ordinal', e.ordinal, 'project_id', e.project_id),
			ARRAY[jsonb_build_object('error', $1::text)], now(), jsonb_build_object('output', jsonb_build_object('wait_reason', $1::text))
		FROM authsync.event_outcomes AS e WHERE e.outcome = 'failed'`, hostile)
	run(t, s.Control, `UPDATE authsync.inbox SET headers = jsonb_build_object($1::text, $1::text), message_id = $1`, hostile)

	// What the watcher says of the destination is on the pages from now on, not only if the test takes half a minute.
	watcher := watch.New(watch.Config{Pool: s.Control, Now: func() time.Time { return time.Now().Add(watch.Every) }})
	waittest.Until(t, func() bool {
		evaluated, err := watcher.Evaluate(t.Context())
		require.NoError(t, err)
		return evaluated
	})

	b := newBrowser(t, s.URL)
	b.signIn(s.Key(s.t, project.KeyInput{Name: hostile[:100]}))
	id := shop.ID.String()
	for _, path := range append(s.everyPage(shop, hostileID, "org_1"),
		pathOf(id, "events", s.Event(s.t, "user.updated")), pathOf(id, "records", "membership", record.MembershipID("org_1", hostileID)), pathOf(id, "replay"), "/keys", "/new-project", "/audit", pathOf(id, "audit"),
	) {
		b.open(path)
	}
	b.open(pathOf(id, "events", s.Event(s.t, "user.updated")))
	for _, part := range []string{"#facts", "#jobs-section", "[aria-labelledby=headers]"} {
		require.Contains(t, b.words(part), "<script>window.__pwned=1</script>", part)
	}
	b.open(pathOf(id))
	require.Contains(t, b.words("#problems-section"), "<script>window.__pwned=1</script>")
	b.open(pathOf(id, "records", "user", hostileID))
	require.Contains(t, b.words("h1"), "<script>window.__pwned=4</script>")

	// River UI shows what jobs have failed with.
	b.leaves(chromedp.Navigate(s.URL + "/river/jobs?state=discarded"))
	b.focus(`//a[contains(., "retry_event")]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.body.innerText.includes("<script>window.__pwned=1</script>")`)
	require.False(t, get[bool](b, pwned))
	b.clean()
}
