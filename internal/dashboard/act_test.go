package dashboard_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// form is a form of a page, with what it has in it before anybody fills it in.
type form struct {
	action string
	values url.Values
}

// forms are those of a page whose actions end like this.
func (p *page) forms(ending string) (found []form) {
	var current *form
	selection := "" // the name of the select whose options follow
	end := func() {
		if current != nil && strings.HasSuffix(current.action, ending) {
			found = append(found, *current)
		}
	}
	for i, e := range p.elements {
		name, _ := attribute(e, "name")
		value, hasValue := attribute(e, "value")
		switch kind, _ := attribute(e, "type"); e.Name.Local {
		case "form":
			end()
			action, _ := attribute(e, "action")
			current = &form{action: action, values: url.Values{}}
			if method, _ := attribute(e, "method"); method != "post" {
				current.action = "GET " + action
			}
		case "input":
			_, checked := attribute(e, "checked")
			if current != nil && name != "" && (checked || kind != "checkbox" && kind != "radio") {
				current.values.Add(name, value)
			}
		case "textarea":
			if current != nil && name != "" {
				current.values.Add(name, p.texts[i])
			}
		case "select":
			selection = name
		case "option":
			if !hasValue {
				value = p.texts[i]
			}
			if _, selected := attribute(e, "selected"); current != nil && (selected || !current.values.Has(selection)) {
				current.values.Set(selection, value)
			}
		}
	}
	end()
	return found
}

// form is the only one of a page that ends like this.
func (p *page) form(t *testing.T, ending string) form {
	t.Helper()
	found := p.forms(ending)
	require.Len(t, found, 1, "%s in %s", ending, p.text)
	return found[0]
}

// post sends a form from a page of this server.
func (s *site) post(t *testing.T, f form, cookie *http.Cookie) *page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+f.action, strings.NewReader(f.values.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Referer", s.url+s.path())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return open(t, r, cookie)
}

// do fills in a form and follows where it leads.
func (s *site) do(t *testing.T, f form, cookie *http.Cookie, namesAndValues ...string) *page {
	t.Helper()
	for i := 0; i < len(namesAndValues); i += 2 {
		f.values.Set(namesAndValues[i], namesAndValues[i+1])
	}
	sent := s.post(t, f, cookie)
	require.Equal(t, http.StatusSeeOther, sent.status, "%s", sent.words)
	next := s.get(t, sent.header.Get("Location"), append(sent.cookies, cookie)...)
	require.Equal(t, http.StatusOK, next.status, "%s", next.words)
	return next
}

// notice is what a page says that a form has done.
func (p *page) notice(t *testing.T) string {
	t.Helper()
	_, after, found := strings.Cut(p.text, `<p class="notice" role="status">`)
	require.True(t, found, "%s", p.words)
	text, _, _ := strings.Cut(after, "</p>")
	return text
}

func TestEventsAreReplayed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	replays := func() (n int) {
		require.NoError(t, s.control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox_pending`).Scan(&n))
		return n
	}
	before := s.get(t, s.event(t, "user.created"), s.all)
	after := s.do(t, before.form(t, "/replay"), s.all)
	require.Contains(t, after.notice(t), "The event is queued again")
	again := s.get(t, s.event(t, "user.created"), s.all)
	require.NotContains(t, again.text, `class="notice"`, "it is said once")
	waittest.Until(t, func() bool { return replays() == 0 })

	list := s.get(t, s.path("events")+"?type=user.updated&limit=3", s.all)
	ask := s.get(t, list.links(s.path("replay"))[0], s.all)
	require.Contains(t, ask.words, "1 message")
	require.Contains(t, ask.words, "user.updated")
	require.Contains(t, s.do(t, ask.form(t, "/replay"), s.all).notice(t), "queued again")
	everything := s.get(t, s.path("replay"), s.all)
	require.Contains(t, everything.words, "7 messages")
	none := s.get(t, s.path("replay")+"?outcome=failed", s.all)
	require.Contains(t, none.words, "nothing to replay")
	require.Empty(t, none.forms("/replay"))
	wrong := s.get(t, s.path("replay")+"?outcome="+url.QueryEscape(hostile), s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	s.settled(t, 7)
}

func TestRefreshSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	for of, id := range map[string]string{"user": hostileID, "organization": "org_1", "membership": record.MembershipID("org_1", hostileID)} {
		page := s.get(t, s.path("records", of, id), s.all)
		refused := s.post(t, page.form(t, "/refresh"), s.all)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, of)
		require.Contains(t, refused.words, "This could not be done")
		require.Contains(t, refused.words, "secret_key")
		require.Equal(t, []string{s.path()}, refused.links(s.path())[:1])
	}
	list := s.get(t, s.path("records", "session"), s.all)
	session := s.get(t, list.links(s.path("records", "session") + "/")[0], s.all)
	require.Equal(t, http.StatusOK, session.status)
	require.Empty(t, session.forms("/refresh"), "no provider is asked about sessions")
}

func TestKeysAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	keys := s.get(t, "/keys", s.all)
	nameless := keys.form(t, "/keys")
	nameless.values.Set("expires_on", "2030-12-31")
	wrong := s.post(t, nameless, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Equal(t, "2030-12-31", wrong.form(t, "/keys").values.Get("expires_on"), "corrected and sent again, it still expires")
	require.Contains(t, wrong.text, `aria-invalid="true"`)

	create := keys.form(t, "/keys")
	create.values.Set("name", hostile+"2")
	create.values.Set("project_id", s.shop.ID.String())
	create.values.Set("role", "read_only")
	create.values.Set("expires_on", "1999-12-31")
	past := s.post(t, create, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, past.status)
	require.Contains(t, past.words, "expires_at")
	create.values.Set("expires_on", time.Now().AddDate(1, 0, 0).Format(time.DateOnly))
	made := s.post(t, create, s.all)
	require.Equal(t, http.StatusOK, made.status, "%s", made.words)
	_, secret, found := strings.Cut(made.words, "capy_live_")
	require.True(t, found)
	secret = "capy_live_" + strings.Fields(secret)[0]
	twice := s.post(t, create, s.all)
	require.Contains(t, twice.words, secret, "a form that is sent twice does its work once")
	require.NotContains(t, s.get(t, "/keys", s.all).text, secret)
	require.Len(t, s.get(t, "/keys", s.all).forms("/revoke"), 4)

	theirs := s.signIn(t, secret)
	require.Equal(t, http.StatusOK, s.get(t, s.path(), theirs).status)
	require.Equal(t, http.StatusForbidden, s.get(t, "/keys", theirs).status, "it is for one project")
	require.Equal(t, http.StatusForbidden, s.post(t, create, theirs).status)
	require.NotContains(t, s.get(t, s.path(), theirs).text, `href="/keys"`)
	for _, f := range s.get(t, "/keys", s.all).forms("/revoke") {
		key, err := s.store.Authenticate(t.Context(), secret)
		require.NoError(t, err)
		if strings.Contains(f.action, key.ID.String()) {
			require.Contains(t, s.do(t, f, s.all).notice(t), "revoked")
			break
		}
	}
	require.Equal(t, http.StatusSeeOther, s.get(t, s.path(), theirs).status, "its session has ended")
}

// changes are all forms that change something, as somebody would send them who knows them.
func (s *site) changes(t *testing.T) []form {
	t.Helper()
	return []form{
		{s.event(t, "user.created") + "/replay", nil},
		{s.path("replay"), nil},
		{s.path("records", "user", hostileID, "refresh"), nil},
		{s.path("integrations", "auth0"), url.Values{"form": {"connect"}}},
		{s.path("integrations", "clerk"), url.Values{"form": {"secret"}, "secret": {"x"}}},
		{s.path("integrations", "clerk"), url.Values{"form": {"options"}}},
		{s.path("integrations", "clerk", "delete"), nil},
		{s.path("integrations", "clerk", "runs", "backfill"), nil},
		{s.path("integrations", "clerk", "runs", "reconcile", "cancel"), nil},
		{"/projects", url.Values{"name": {"mine"}}},
		{s.path(), url.Values{"name": {"mine"}}},
		{s.path("delete"), url.Values{"name": {"shop"}}},
		{s.path("destinations"), url.Values{"type": {"webhook"}, "name": {"mine"}, "options.url": {"http://127.0.0.1:1/"}}},
		{s.outbound(t) + "/change", url.Values{"name": {"mine"}}},
		{s.outbound(t) + "/pause", url.Values{"reason": {"mine"}}},
		{s.outbound(t) + "/resume", nil},
		{s.outbound(t) + "/rotate", nil},
		{s.outbound(t) + "/test", nil},
		{s.outbound(t) + "/replay", url.Values{"state": {"failed"}}},
		{s.outbound(t) + "/delete", nil},
		{s.delivery(t) + "/retry", nil},
		{s.delivery(t) + "/cancel", nil},
		{"/keys", url.Values{"name": {"mine"}}},
		{"/keys/" + uuid.NewString() + "/revoke", nil},
	}
}

// journal counts what any form could have changed.
func (s *site) journal(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, s.control.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM authsync.api_keys) + (SELECT count(*) FROM authsync.inbox_pending) + (SELECT count(*) FROM authsync.sync_runs)
		+ (SELECT count(*) FROM authsync.destinations) + (SELECT count(*) FROM authsync.destinations WHERE name = 'app' AND state = 'disabled')
		+ (SELECT count(*) FROM authsync.deliveries WHERE state = 'failed') + (SELECT count(*) FROM authsync.projects) + (SELECT count(*) FROM authsync.integrations)`).Scan(&n))
	return n
}

func TestFormsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox_pending`).Scan(&n))
		return n == 0
	})
	forms := s.changes(t)
	before := s.journal(t)
	for _, f := range forms {
		out := s.post(t, f, nil)
		require.Equal(t, http.StatusSeeOther, out.status, f.action)
		require.Equal(t, "/sign-in?next="+url.QueryEscape(s.path()), out.header.Get("Location"), "back to the page with the form")
		foreign := s.post(t, f, s.foreign)
		require.Contains(t, []int{http.StatusNotFound, http.StatusForbidden}, foreign.status, f.action)

		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+f.action, strings.NewReader(f.values.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://elsewhere.example")
		r.AddCookie(s.all)
		w, err := quiet.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, w.Body.Close())
		require.Equal(t, http.StatusForbidden, w.StatusCode, f.action)

		large := s.post(t, form{f.action, url.Values{"name": {strings.Repeat("x", 300<<10)}}}, s.all)
		require.Equal(t, http.StatusRequestEntityTooLarge, large.status, f.action)
	}
	require.Equal(t, before, s.journal(t))
}

// isForm finds the pages that are there for their form.
var isForm = regexp.MustCompile(`/new$|/new\?|/change$|/replay$|/replay\?|/new-project$|/keys$`)

func TestReadersSeeNoFormAndAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	reader := s.enter(t, project.KeyInput{Name: "reader", Role: project.ReadOnly})
	for _, path := range append(s.everyPage(t), "/", "/new-project", "/keys", s.path("replay")) {
		page := s.get(t, path, reader)
		require.Contains(t, []int{http.StatusOK, http.StatusForbidden}, page.status, path)
		require.Equal(t, page.status == http.StatusForbidden, isForm.MatchString(path), path)
		for _, f := range page.forms("") {
			require.True(t, f.action == "/sign-out" || strings.HasPrefix(f.action, "GET "), "%s has a form to %s", path, f.action)
		}
	}
	for _, f := range s.changes(t) {
		require.Equal(t, http.StatusForbidden, s.post(t, f, reader).status, f.action)
	}
}

func TestNoticesAreOurs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, value := range []string{"", "hello", "aGVsbG8", s.all.Value} {
		page := s.get(t, s.path(), s.all, &http.Cookie{Name: "authsync_notice", Value: value})
		require.Equal(t, http.StatusOK, page.status)
		require.NotContains(t, page.text, `class="notice"`)
	}
}

// look asks for a page again, as its script does.
func (s *site) look(t *testing.T, path string, cookies ...*http.Cookie) *page {
	t.Helper()
	script, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/assets/page.js", http.NoBody)))
	require.NoError(t, err)
	text, err := io.ReadAll(script.Body)
	require.NoError(t, err)
	require.NoError(t, script.Body.Close())
	require.Contains(t, string(text), `"Authsync-Look": "1"`)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody))
	r.Header.Set("Authsync-Look", "1")
	return open(t, r, cookies...)
}

// Another tab that looks for news in this moment does not take what is said to the one that sent the form.
func TestOnlyAPageThatIsOpenedTakesTheNotice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	form := s.get(t, s.path(), s.all).forms(s.path())[0]
	sent := s.post(t, form, s.all)
	require.Equal(t, http.StatusSeeOther, sent.status)
	look := s.look(t, s.path(), append(sent.cookies, s.all)...)
	require.Equal(t, http.StatusOK, look.status)
	require.Empty(t, look.cookies)
	require.NotContains(t, look.text, `class="notice"`)
	require.Contains(t, s.get(t, s.path(), append(sent.cookies, s.all)...).notice(t), "changed")
}

// Each time that a body is shown is in the log, and a tab that stands open is no such time.
func TestABodyIsShownOnceAsThePageIsOpened(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(t, provider.Sample{Type: "user.created", UserID: "user_1", At: time.Now()})
	s.settled(t, 1)
	path := s.event(t, "user.created")
	opened, look := s.get(t, path, s.all), s.look(t, path, s.all)
	require.Contains(t, opened.text, `<h2 id="body">`)
	require.Contains(t, opened.text, "svix "+provider.SecretName(signingSecret))
	require.NotContains(t, look.text, `<h2 id="body">`)
	for _, section := range [][2]string{{`id="facts"`, "</dl>"}, {`id="jobs-section"`, "</section>"}} {
		part := func(p *page) string {
			_, after, found := strings.Cut(p.text, section[0])
			require.True(t, found)
			part, _, _ := strings.Cut(after, section[1])
			return part
		}
		require.Equal(t, part(opened), part(look), "it is replaced only if it has news")
	}
}

func TestALostEventIsReplayedByHand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(t, provider.Sample{Type: "user.created", UserID: "user_1", At: time.Now().Add(-time.Hour)})
	s.settled(t, 1)
	_, err := s.mirror.Exec(t.Context(), `DELETE FROM capydb_auth.processed_events`)
	require.NoError(t, err)
	_, err = s.mirror.Exec(t.Context(), `DELETE FROM capydb_auth.users`)
	require.NoError(t, err)
	event := s.get(t, s.event(t, "user.created"), s.all)
	s.do(t, event.form(t, "/replay"), s.all)
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.mirror.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users`).Scan(&n))
		return n == 1
	})
}
