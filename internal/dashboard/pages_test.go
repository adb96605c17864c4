package dashboard_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	destinations "github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
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
	s.exec(t, `UPDATE authsync.inbox SET headers = jsonb_build_object($1::text, $1::text), message_id = $1`, "message "+hostile)
}

// event is the path of the newest event of a type.
func (s *site) event(t *testing.T, eventType string) string {
	t.Helper()
	var id string
	require.NoError(t, s.control.QueryRow(t.Context(),
		`SELECT inbox_id || '.' || ordinal FROM authsync.event_outcomes WHERE type = $1 ORDER BY inbox_id DESC LIMIT 1`, eventType).Scan(&id))
	return s.path("events", id)
}

func TestPagesWithNothingYetSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	home := s.get(t, "/", s.all)
	require.Equal(t, http.StatusOK, home.status)
	require.Contains(t, home.words, "authsync integrations set other clerk")
	require.ElementsMatch(t, []string{s.path(), "/projects/" + s.other.ID.String()}, home.links("/projects/"))
	shop := s.get(t, s.path(), s.all)
	require.Contains(t, shop.words, s.url+"/api/capydb/v1/integrations/clerk/webhook/"+s.shop.ID.String())
	require.Contains(t, shop.text, `<code class="copy">authsync send shop clerk user.created</code>`)
	require.Contains(t, shop.words, "authsync destinations create shop")
	require.Contains(t, shop.words, "authsync backfill shop")
	require.Contains(t, s.get(t, s.path("events"), s.all).words, "No message has arrived yet")
	for _, d := range record.Types() {
		require.Contains(t, s.get(t, s.path("records", string(d.Type)), s.all).words, "The mirror has no "+d.Table+" yet")
	}
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
		s.outbound(t)+"/replay", s.outbound(t)+"/replay?state=failed", s.path("deliveries"), s.delivery(t))
}

func TestPagesShowWhatHappened(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	require.Contains(t, s.get(t, "/", s.limited).words, "None of these projects has a problem that needs you.")
	project := s.get(t, s.path(), s.all)
	require.Len(t, project.links(s.path("events")+"/"), 1, "the last message")
	require.Contains(t, project.words, "webhook_signing_secret")
	require.NotContains(t, project.text, signingSecret)

	list := s.get(t, s.path("events"), s.all)
	require.Len(t, list.links(s.path("events")+"/"), 7)
	created := s.get(t, s.event(t, "user.created"), s.all)
	for _, want := range []string{"applied", hostileID, "user.created", "Svix-Id", "No job is left", `"first_name": `, "authsync events get shop"} {
		require.Contains(t, created.words, want)
	}
	require.NotContains(t, created.words, "Svix-Signature")
	updated := s.get(t, created.link(t, "next"), s.all)
	require.Contains(t, updated.words, "user.updated", "not the membership or the session of the user")
	require.Equal(t, s.event(t, "user.created"), updated.link(t, "prev"))
	require.NotContains(t, updated.text, `rel="next"`)
	require.Contains(t, created.links(s.path("records")), s.path("records", "user", hostileID))

	user := s.get(t, s.path("records", "user", hostileID), s.all)
	require.Equal(t, http.StatusOK, user.status)
	require.Contains(t, user.words, "ada@example.com", "the address before")
	require.Regexp(t, `(?s)updated \d{4}-.*created \d{4}-`, user.words, "newest first")
	require.Regexp(t, "(?s)<code>email</code>.*<code>raw</code>", user.text)
	events := user.links(s.path("events") + "?event_id=")
	require.Len(t, events, 2)
	require.Len(t, s.linksOf(t, events[0], s.path("events")+"/"), 1)

	id := record.MembershipID("org_1", hostileID)
	membership := s.get(t, s.path("records", "membership", id), s.all)
	require.Equal(t, http.StatusOK, membership.status)
	require.Contains(t, membership.links(s.path("records", "user")+"/"), s.path("records", "user", hostileID))
	require.Contains(t, membership.links(s.path("records", "organization")+"/"), s.path("records", "organization", "org_1"))
}

func TestEventsAreFilteredAndPaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	count := func(query url.Values) int {
		page := s.get(t, s.path("events")+"?"+query.Encode(), s.all)
		require.Equal(t, http.StatusOK, page.status)
		return len(page.links(s.path("events") + "/"))
	}
	require.Equal(t, 1, count(url.Values{"outcome": {"ignored"}, "type": {""}, "provider": {""}}), "a form sends empty fields")
	require.Equal(t, 7, count(url.Values{"provider": {"clerk"}}))
	require.Equal(t, 0, count(url.Values{"provider": {"auth0"}}))
	require.Equal(t, 1, count(url.Values{"type": {"user.created"}}))
	require.Equal(t, 4, count(url.Values{"user_id": {hostileID}}))
	require.Equal(t, 2, count(url.Values{"record_type": {"user"}, "record_id": {hostileID}}))
	require.Equal(t, 1, count(url.Values{"record_type": {"organization"}, "record_id": {"org_1"}}))
	require.Equal(t, 0, count(url.Values{"since": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}))
	require.Equal(t, 7, count(url.Values{"until": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}}))

	form := s.get(t, s.path("events")+"?"+url.Values{"outcome": {"ignored"}, "type": {hostile}}.Encode(), s.all)
	require.Contains(t, form.words, "No event matches")
	require.Contains(t, form.text, "<option value=\"ignored\" selected>ignored</option>")
	field := slices.IndexFunc(form.elements, func(e xml.StartElement) bool { name, _ := attribute(e, "name"); return name == "type" })
	require.NotEqual(t, -1, field)
	value, _ := attribute(form.elements[field], "value")
	require.Equal(t, hostile, value, "the form keeps what was entered")

	seen, path := map[string]bool{}, s.path("events")+"?limit=3&provider=clerk"
	for pages := 1; ; pages++ {
		page := s.get(t, path, s.all)
		for _, link := range page.links(s.path("events") + "/") {
			require.False(t, seen[link])
			seen[link] = true
		}
		if pages == 3 {
			require.NotContains(t, page.text, `rel="next"`)
			require.Contains(t, page.links(s.path("events")+"?"), s.path("events")+"?limit=3&provider=clerk", "back to the first page")
			break
		}
		path = page.link(t, "next")
		require.Contains(t, path, "provider=clerk")
	}
	require.Len(t, seen, 7)

	for name, query := range map[string]url.Values{
		"since": {"since": {"yesterday"}}, "record_id": {"record_type": {"user"}}, "outcome": {"outcome": {hostile}}, "nonsense": {"nonsense": {hostile}},
	} {
		page := s.get(t, s.path("events")+"?"+query.Encode(), s.all)
		require.Equal(t, http.StatusUnprocessableEntity, page.status, name)
		require.Contains(t, page.text, `role="alert"`)
		require.Contains(t, page.words, name)
	}
}

func TestRecordsAreFoundAndPaged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	users := s.path("records", "user")
	require.Equal(t, s.path("records", "user", hostileID), s.get(t, users+"?"+url.Values{"id": {hostileID}, "email": {""}}.Encode(), s.all).header.Get("Location"))
	nobody := s.get(t, users+"?id=nobody", s.all).header.Get("Location")
	require.Equal(t, s.path("records", "user", "nobody"), nobody)
	unknown := s.get(t, nobody, s.all)
	require.Equal(t, http.StatusNotFound, unknown.status)
	require.Contains(t, unknown.words, "The mirror has none that matches")
	require.Contains(t, unknown.text, `id="id" name="id" value="nobody"`, "the form keeps what was entered")
	found := s.get(t, users+"?"+url.Values{"email": {hostile}}.Encode(), s.all)
	require.Equal(t, []string{s.path("records", "user", hostileID)}, found.links(users+"/"))
	require.Contains(t, s.get(t, users+"?email=ada@example.com", s.all).words, "The mirror has none that matches", "it was changed")
	members := s.path("records", "membership")
	require.Len(t, s.linksOf(t, members+"?organization_id=org_1", members+"/"), 1)
	require.Contains(t, s.get(t, members+"?user_id=nobody", s.all).words, "The mirror has none that matches")
	wrong := s.get(t, s.path("records", "organization")+"?user_id=x", s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Contains(t, wrong.text, `role="alert"`)

	for n := range 3 {
		s.send(t, provider.Sample{Type: "user.created", UserID: fmt.Sprintf("user_%d", n), At: time.Now().Add(-time.Hour)})
	}
	s.settled(t, 10)
	first := s.get(t, users+"?limit=2", s.all)
	require.Len(t, first.links(users+"/"), 2)
	second := s.get(t, first.link(t, "next"), s.all)
	require.Len(t, second.links(users+"/"), 2)
	require.Contains(t, second.links(users+"?"), users+"?limit=2")
	require.NotContains(t, second.text, `rel="next"`)
	require.Equal(t, http.StatusUnprocessableEntity, s.get(t, users+"?cursor=~", s.all).status)

	// One after the other, as the versions of one batch are one change.
	at := time.Now().Add(-time.Minute)
	for n := range 52 {
		s.send(t, provider.Sample{
			Type: "user.updated", UserID: "user_1", At: at.Add(time.Duration(n) * time.Second), Set: map[string]any{"first_name": fmt.Sprintf("name-%02d", n)},
		})
		s.settled(t, 11+n)
	}
	newest := s.get(t, s.path("records", "user", "user_1"), s.all)
	require.Len(t, newest.all("h3"), 50)
	require.Contains(t, newest.words, "name-51")
	require.NotContains(t, newest.words, "name-00")
	older := s.get(t, newest.link(t, "next"), s.all)
	require.Len(t, older.all("h3"), 3)
	require.Contains(t, older.words, "name-00")
	require.Contains(t, older.words, "Newest changes")
}

func TestPagesShowTroubleInHostileWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	s.trouble(t)
	home := s.get(t, "/", s.all)
	for _, want := range []string{
		"1 message overdue", "1 event failed", "authsync events replay shop --outcome failed",
		"2 requests of Clerk rejected in the last hour", "rejected " + hostile + "0",
		"authsync has set destination crm to disabled", "destination " + hostile, "authsync destinations resume shop crm",
		"The last backfill from Clerk failed", "run " + hostile,
	} {
		require.Contains(t, home.words, want)
	}
	require.Contains(t, home.links(s.path("events")), s.path("events")+"?outcome=failed")
	project := s.get(t, s.path(), s.all)
	require.Contains(t, project.words, "rejected "+hostile+"0")
	require.Contains(t, project.words, "rejected "+hostile+"1")
	require.NotContains(t, project.words, "rejected "+hostile+"2", "it is older than an hour")
	clerk := s.get(t, s.path("integrations", "clerk"), s.all)
	require.Contains(t, clerk.words, "Deletions of memberships were held back: blocked "+hostile)
	require.Contains(t, clerk.words, "Nothing is known of memberships that the provider no longer has: unlisted "+hostile)
	require.Contains(t, clerk.links(s.path("records", "membership")), s.path("records", "membership", record.MembershipID("org_1", hostileID)))
	require.Contains(t, project.words, "run "+hostile)
	require.Contains(t, project.words, "1200 of 1200 users, 1 organization, 3 memberships")
	require.Contains(t, project.words, "destination "+hostile)
	failed := s.get(t, s.path("events")+"?outcome=failed", s.all)
	require.Contains(t, failed.words, "event "+hostile)
	event := s.get(t, s.event(t, "user.updated"), s.all)
	require.Len(t, event.links("/river/jobs/"), 1)
	for _, want := range []string{"event ", "job ", "message "} {
		require.Contains(t, event.words, want+hostile)
	}
	limited := s.get(t, s.event(t, "user.updated"), s.limited)
	require.Empty(t, limited.links("/river/"), "the key may not open it")
	require.Equal(t, []string{"/river/jobs/4711"}, s.get(t, s.delivery(t), s.all).links("/river/jobs/"))
	require.Empty(t, s.get(t, s.delivery(t), s.limited).links("/river/"))
	for _, path := range []string{s.outbound(t), s.delivery(t), s.path("deliveries")} {
		require.Contains(t, s.get(t, path, s.all).words, "outbound "+hostile)
	}
	require.Contains(t, s.get(t, s.outbound(t)+"/change", s.all).text, html.EscapeString("outbound "+hostile))
	for _, path := range s.everyPage(t) {
		require.Equal(t, http.StatusOK, s.get(t, path, s.all).status, path)
	}
}

func TestPagesAreOfTheKeysProject(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	s.trouble(t)
	home := s.get(t, "/", s.foreign)
	require.NotContains(t, home.text, s.shop.ID.String())
	require.NotContains(t, home.words, "shop")
	require.Contains(t, home.words, "other")
	for _, path := range s.everyPage(t) {
		require.Equal(t, http.StatusOK, s.get(t, path, s.limited).status, path)
		page := s.get(t, path, s.foreign)
		require.Equal(t, http.StatusNotFound, page.status, path)
		require.NotContains(t, page.words, "ada@example.com")
		// An event is not to be had by way of one's own project either.
		mine := strings.Replace(path, s.shop.ID.String(), s.other.ID.String(), 1)
		if strings.Contains(mine, "/events/") || strings.Contains(mine, "/destinations/app") || strings.Contains(mine, "/deliveries/") || strings.Count(mine, "/") == 5 {
			require.Equal(t, http.StatusNotFound, s.get(t, mine, s.foreign).status, mine)
		}
	}
	require.Equal(t, http.StatusNotFound, s.get(t, "/projects/shop", s.foreign).status)
}

func TestPagesAreForThoseSignedIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	for _, path := range append(s.everyPage(t), "/", "/?cursor=x", "/projects/"+uuid.NewString()+"/nonsense") {
		page := s.get(t, path, nil)
		require.Equal(t, http.StatusSeeOther, page.status)
		require.Equal(t, "/sign-in?next="+url.QueryEscape(path), page.header.Get("Location"))
	}
	for _, asset := range []string{"/assets/style.css", "/assets/page.js", "/assets/icon.svg"} {
		w, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+asset, http.NoBody)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, w.StatusCode)
		require.NoError(t, w.Body.Close())
	}
	w, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/", http.NoBody)))
	require.NoError(t, err)
	text, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	require.Equal(t, "text/plain; charset=utf-8", w.Header.Get("Content-Type"), "programs get text")
	require.Contains(t, string(text), "This is authsync")
}

func must(r *http.Request, err error) *http.Request {
	if err != nil {
		panic(err)
	}
	return r
}

func TestPagesThatDoNotExist(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	type answer struct {
		status int
		says   string
	}
	noPage := answer{http.StatusNotFound, "Not found"}
	noRecord := answer{http.StatusNotFound, "The mirror has none that matches"}
	wrong := answer{http.StatusUnprocessableEntity, "The address is not as it should be"}
	for path, want := range map[string]answer{
		"/projects/nobody":                                noPage,
		"/projects/" + url.PathEscape(hostile):            noPage,
		s.path("nonsense"):                                noPage,
		s.path("events", "nonsense"):                      noPage,
		s.path("events", "99999.0"):                       noPage,
		s.path("records", hostile):                        noPage,
		s.path("records", hostile, "x"):                   noPage,
		s.path("records", "user", "nobody"):               noRecord,
		s.path("records", "user", hostile):                noRecord,
		s.path("records", "membership", "org_1"):          noRecord,
		s.path("records", "user", "a\x00b"):               noRecord,
		"/?nonsense=" + url.QueryEscape(hostile):          wrong,
		"/?cursor=" + url.QueryEscape(hostile):            wrong,
		s.path("records", "user", "user_1") + "?cursor=x": wrong,
	} {
		page := s.get(t, path, s.all)
		require.Equal(t, want.status, page.status, path)
		require.Contains(t, page.words, want.says, path)
	}
}

func TestPagesSayThatAProjectsDatabaseIsDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lost := pgtest.Project(t)
	down, err := s.store.CreateProject(t.Context(), "down", pgtest.URL(t, lost), false)
	require.NoError(t, err)
	// As if somebody had dropped it.
	name := lost.Config().ConnConfig.Database
	s.exec(t, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	s.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
	waittest.Until(t, func() bool {
		_, err := s.control.Exec(t.Context(), `ALTER DATABASE `+name+` RENAME TO `+name+`_lost`)
		return err == nil
	}, "its connections end")
	t.Cleanup(func() {
		_, err := s.control.Exec(context.WithoutCancel(t.Context()), `ALTER DATABASE `+name+`_lost RENAME TO `+name)
		require.NoError(t, err)
	})
	for _, below := range []string{"/records/user", "/records/user/user_1", "/records/membership?user_id=x"} {
		page := s.get(t, "/projects/"+down.ID.String()+below, s.all)
		require.Equal(t, http.StatusServiceUnavailable, page.status, "%s", page.words)
		require.Contains(t, page.words, "The project’s database does not answer")
		require.NotEmpty(t, page.header.Get("Retry-After"))
		require.NotContains(t, page.words, "password")
	}
	create := s.get(t, "/projects/"+down.ID.String()+"/destinations/new?type=webhook", s.all).form(t, "/destinations")
	create.values.Set("name", "kept")
	create.values.Set("options.url", "http://127.0.0.1:1/")
	away := s.post(t, create, s.all)
	require.Equal(t, http.StatusServiceUnavailable, away.status)
	require.Regexp(t, `role="alert">[^<]*database`, away.text)
	require.Equal(t, "kept", away.form(t, "/destinations").values.Get("name"))
	for _, below := range []string{"", "/events", "/destinations", "/deliveries"} {
		require.Equal(t, http.StatusOK, s.get(t, "/projects/"+down.ID.String()+below, s.all).status)
	}
	require.Equal(t, http.StatusOK, s.get(t, "/", s.all).status)
}
