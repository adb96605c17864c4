package dashboard_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const signingSecret = "whsec_ZGFzaGJvYXJkLXRlc3QtcGFnZXMtc2VjcmV0"

// hostile is what anybody may have entered anywhere.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}&amp;`

// keyName is the name of a key, and so on every page that it opens; no other text is part of it.
const keyName = `</span></form><script>alert(4)</script>`

// hostileID is the id of a user.
const hostileID = `user/../<script>alert(3)</script>?a=b#c&d"'%2F|é`

// site is a whole server as browsers see it, with a project, a user and what happened to it.
type site struct {
	url     string
	store   *project.Store
	control *pgxpool.Pool
	mirror  *pgxpool.Pool
	shop    project.Project
	other   project.Project
	all     *http.Cookie // of a key for all projects
	limited *http.Cookie // of a key for shop
	foreign *http.Cookie // of a key for other
}

// quiet has no connection left at the end.
var quiet = &http.Transport{DisableKeepAlives: true} //nolint:gochecknoglobals // a constant, if Go had such

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{control: pgtest.Control(t), mirror: pgtest.Project(t)}
	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, s.control), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(), "AUTHSYNC_LISTEN": "127.0.0.1:0",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1", "AUTHSYNC_ALLOW_TARGETS": "127.0.0.1",
	}
	settings, err := config.Load(func(name string) string { return env[name] })
	require.NoError(t, err)
	settings.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	a, err := app.Start(t.Context(), app.Config{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	s.url, s.store = a.URL(), a.Store

	s.shop, err = a.Store.CreateProject(t.Context(), "shop", pgtest.URL(t, s.mirror), false)
	require.NoError(t, err)
	s.other, err = a.Store.CreateProject(t.Context(), "other", pgtest.URL(t, pgtest.Project(t)), false)
	require.NoError(t, err)
	_, err = a.Store.PutIntegration(t.Context(), s.shop.ID, provider.Clerk,
		map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + signingSecret + `"`)},
		json.RawMessage(`{"record_types": ["users", "organizations", "sessions"]}`))
	require.NoError(t, err)
	s.all = s.enter(t, project.KeyInput{Name: keyName})
	s.limited = s.enter(t, project.KeyInput{Name: "of shop", ProjectID: &s.shop.ID})
	s.foreign = s.enter(t, project.KeyInput{Name: "of other", ProjectID: &s.other.ID})
	return s
}

// enter makes a key and signs in with it.
func (s *site) enter(t *testing.T, in project.KeyInput) *http.Cookie {
	t.Helper()
	_, secret, err := s.store.CreateKey(t.Context(), in)
	require.NoError(t, err)
	return s.signIn(t, secret)
}

func (s *site) signIn(t *testing.T, secret string) *http.Cookie {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/sign-in", strings.NewReader(url.Values{"key": {secret}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := quiet.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	require.Equal(t, http.StatusSeeOther, w.StatusCode)
	require.Equal(t, "/", w.Header.Get("Location"))
	require.Len(t, w.Cookies(), 1)
	return w.Cookies()[0]
}

// send delivers a sample of Clerk.
func (s *site) send(t *testing.T, sample provider.Sample) {
	t.Helper()
	require.Equal(t, http.StatusNoContent, s.try(t, sample))
}

// try delivers a sample of Clerk and gives the status of the answer.
func (s *site) try(t *testing.T, sample provider.Sample) int {
	t.Helper()
	kind, err := registry.Lookup(provider.Clerk)
	require.NoError(t, err)
	header, body, err := kind.Sign(sample, provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	c := client.New(s.url, "")
	defer c.Close()
	if err = c.Deliver(t.Context(), provider.Clerk, s.shop.ID.String(), header, body); err == nil {
		return http.StatusNoContent
	}
	require.NotZero(t, client.Status(err), "%v", err)
	return client.Status(err)
}

// exec changes the control database.
func (s *site) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.control.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

// settled waits until that many events have their outcome.
func (s *site) settled(t *testing.T, events int) {
	t.Helper()
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.event_outcomes WHERE outcome <> 'pending'`).Scan(&n))
		return n >= events
	})
}

// page is an answer to a browser.
type page struct {
	status   int
	header   http.Header
	cookies  []*http.Cookie
	text     string
	elements []xml.StartElement
	texts    []string // by element: the text that it begins with
	// words is the text without markup.
	words string
}

// get opens a page, and checks what is true of every page.
func (s *site) get(t *testing.T, path string, cookies ...*http.Cookie) *page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
	require.NoError(t, err)
	return open(t, r, cookies...)
}

// open sends a request as a browser does.
func open(t *testing.T, r *http.Request, cookies ...*http.Cookie) *page {
	t.Helper()
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	for _, cookie := range cookies {
		if cookie != nil {
			r.AddCookie(cookie)
		}
	}
	w, err := quiet.RoundTrip(r)
	require.NoError(t, err)
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	p := &page{status: w.StatusCode, header: w.Header, text: string(body), cookies: w.Cookies()}
	require.Equal(t, "no-store", w.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", w.Header.Get("X-Content-Type-Options"))
	if w.StatusCode/100 == 3 {
		return p
	}
	require.Equal(t, "text/html; charset=utf-8", w.Header.Get("Content-Type"), "%s", p.text)
	require.Equal(t, "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		w.Header.Get("Content-Security-Policy"))
	p.parse(t)
	p.isSafe(t)
	p.isAccessible(t)
	return p
}

func (p *page) parse(t *testing.T) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(p.text))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var words strings.Builder
	begins := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "%s", p.text)
		switch token := token.(type) {
		case xml.StartElement:
			p.elements, p.texts = append(p.elements, token.Copy()), append(p.texts, "")
			begins = true
			continue
		case xml.CharData:
			words.Write(token)
			if begins {
				p.texts[len(p.texts)-1] = string(token)
			}
		}
		begins = false
	}
	p.words = words.String()
}

func attribute(e xml.StartElement, name string) (value string, has bool) {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

func (p *page) all(name string) []xml.StartElement {
	return slices.DeleteFunc(slices.Clone(p.elements), func(e xml.StartElement) bool { return e.Name.Local != name })
}

// isSafe holds of a page whatever is stored: what is stored became neither an element nor an attribute, and every link
// leads to this server.
func (p *page) isSafe(t *testing.T) {
	t.Helper()
	require.NotContains(t, p.text, "ZgotmplZ")
	for _, e := range p.elements {
		require.NotContains(t, []string{"style", "iframe", "object", "embed", "base"}, e.Name.Local, "%s", p.text)
		for _, a := range e.Attr {
			name := a.Name.Local
			require.False(t, name == "style" || strings.HasPrefix(name, "on"), "attribute %s of %s", name, e.Name.Local)
			if name == "href" || name == "src" || name == "action" {
				u, err := url.Parse(a.Value)
				require.NoError(t, err)
				require.Empty(t, u.Host)
				require.Empty(t, u.Scheme)
				require.Contains(t, "/#", a.Value[:1], "%s", a.Value)
			}
		}
	}
	p.drawingsAreOurs(t)
	require.Len(t, p.all("img"), 1, "the logo")
	require.Len(t, p.all("script"), 1)
	script, _ := attribute(p.all("script")[0], "src")
	require.Equal(t, "/assets/page.js", script)
}

// drawingsAreOurs holds of drawings that are made of numbers only, and are hidden from those who read what they say.
func (p *page) drawingsAreOurs(t *testing.T) {
	t.Helper()
	for _, e := range slices.Concat(p.all("svg"), p.all("rect"), p.all("line")) {
		for _, a := range e.Attr {
			switch name := a.Name.Local; {
			case e.Name.Local == "svg":
				require.Equal(t, map[string]string{"class": "plot", "viewBox": "0 0 600 140", "aria-hidden": "true"}[name], a.Value, name)
			case name == "class":
				require.Contains(t, []string{"good", "bad", "took"}, a.Value)
			default:
				_, err := strconv.Atoi(a.Value)
				require.NoError(t, err, name)
			}
		}
	}
	require.Len(t, p.all("figcaption"), len(p.all("svg")))
}

// isAccessible checks what a structure can show.
func (p *page) isAccessible(t *testing.T) {
	t.Helper()
	language, _ := attribute(p.all("html")[0], "lang")
	require.Equal(t, "en", language)
	require.Len(t, p.all("title"), 1)
	require.Len(t, p.all("h1"), 1)
	require.Len(t, p.all("main"), 1)
	require.Len(t, p.all("header"), 1)
	require.NotEmpty(t, p.all("nav"))
	level, ids, labels := 1, map[string]bool{}, map[string]bool{}
	for _, e := range p.elements {
		if h := e.Name.Local; len(h) == 2 && h[0] == 'h' && h[1] >= '1' && h[1] <= '6' {
			require.LessOrEqual(t, int(h[1]-'0'), level+1, "no heading is skipped")
			level = int(h[1] - '0')
		}
		if id, has := attribute(e, "id"); has {
			require.False(t, ids[id], "two have the id %s", id)
			ids[id] = true
		}
		if of, has := attribute(e, "for"); has {
			labels[of] = true
		}
	}
	for _, e := range slices.Concat(p.all("input"), p.all("select"), p.all("textarea")) {
		if kind, _ := attribute(e, "type"); kind == "hidden" {
			continue
		}
		id, _ := attribute(e, "id")
		require.True(t, labels[id], "field %s has a label", id)
	}
	for _, e := range p.elements {
		for _, name := range []string{"aria-labelledby", "aria-describedby"} {
			if id, has := attribute(e, name); has {
				require.True(t, ids[id], "%s of %s", name, id)
			}
		}
	}
	require.Len(t, p.all("caption"), len(p.all("table")))
	for _, e := range p.all("th") {
		scope, _ := attribute(e, "scope")
		require.Contains(t, []string{"col", "row"}, scope)
	}
	for _, e := range p.all("nav") {
		label, _ := attribute(e, "aria-label")
		require.NotEmpty(t, label)
	}
	for _, e := range p.all("time") {
		at, _ := attribute(e, "datetime")
		_, err := time.Parse(time.RFC3339Nano, at)
		require.NoError(t, err)
		title, _ := attribute(e, "title")
		require.Equal(t, at, title)
	}
}

// links are the places that the page's links with a prefix lead to.
func (p *page) links(prefix string) (found []string) {
	for _, e := range p.all("a") {
		if href, _ := attribute(e, "href"); strings.HasPrefix(href, prefix) && !slices.Contains(found, href) {
			found = append(found, href)
		}
	}
	return found
}

// link is where the link with a rel leads.
func (p *page) link(t *testing.T, rel string) string {
	t.Helper()
	for _, e := range p.all("a") {
		if value, _ := attribute(e, "rel"); value == rel {
			href, _ := attribute(e, "href")
			return href
		}
	}
	require.Fail(t, "no link "+rel, "%s", p.text)
	return ""
}
