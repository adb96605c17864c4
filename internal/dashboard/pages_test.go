package dashboard_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/sitetest"
)

func TestPagesWithNothingYetSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	home := s.get(t, "/", s.all)
	require.Equal(t, http.StatusOK, home.status)
	require.Contains(t, home.words, "authsync integrations set other clerk")
	require.ElementsMatch(t, []string{s.path(), "/projects/" + s.other.ID.String()}, home.links("/projects/"))
	shop := s.get(t, s.path(), s.all)
	require.Contains(t, shop.words, s.URL+"/api/capydb/v1/integrations/clerk/webhook/"+s.shop.ID.String())
	require.Contains(t, shop.text, `<code class="copy">authsync send shop clerk user.created</code>`)
	require.Contains(t, shop.words, "authsync destinations create shop")
	require.Contains(t, shop.words, "authsync backfill shop")
	require.Contains(t, s.get(t, s.path("events"), s.all).words, "No message has arrived yet")
	for _, d := range record.Types() {
		require.Contains(t, s.get(t, s.path("records", string(d.Type)), s.all).words, "The mirror has no "+d.Table+" yet")
	}
}

func TestPagesShowWhatHappened(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	require.Contains(t, s.get(t, "/", s.limited).words, "None of these projects has a problem that needs you.")
	project := s.get(t, s.path(), s.all)
	require.Len(t, project.links(s.path("events")+"/"), 1, "the last message")
	require.Contains(t, project.words, "webhook_signing_secret")
	require.NotContains(t, project.text, sitetest.ClerkSecret)

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
