package dashboard_test

import (
	"context"
	"html"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

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
		"shop: silence " + hostile, "next " + hostile, "The server: queue " + hostile,
	} {
		require.Contains(t, home.words, want)
	}
	require.Contains(t, home.links(s.path("events")), s.path("events")+"?outcome=failed")
	require.NotContains(t, home.words, "lag "+hostile, "the page says it already, as it is now")
	project := s.get(t, s.path(), s.all)
	for _, want := range []string{"Open problems", "silence " + hostile, "next " + hostile} {
		require.Contains(t, project.words, want)
	}
	require.NotContains(t, project.words, "queue "+hostile, "it is the server's")
	require.NotContains(t, s.get(t, "/", s.limited).words, "queue "+hostile, "nor is it for a key of a project")
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
	attempts := s.get(t, s.delivery(t), s.limited).words
	require.Contains(t, attempts, "newest first; earlier ones are no longer kept")
	require.Contains(t, attempts, "the request may have arrived.")
	for _, path := range []string{s.outbound(t), s.delivery(t), s.path("deliveries")} {
		require.Contains(t, s.get(t, path, s.all).words, "outbound "+hostile)
	}
	require.Contains(t, s.get(t, s.outbound(t)+"/change", s.all).text, html.EscapeString("outbound "+hostile))
	for _, path := range s.everyPage(t) {
		require.Equal(t, http.StatusOK, s.get(t, path, s.all).status, path)
	}
}

func TestPagesSayThatAProjectsDatabaseIsDown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	lost := pgtest.Project(t)
	down, err := s.Store.CreateProject(t.Context(), "down", pgtest.URL(t, lost), false)
	require.NoError(t, err)
	// As if somebody had dropped it.
	name := lost.Config().ConnConfig.Database
	s.exec(t, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	s.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
	waittest.Until(t, func() bool {
		_, err := s.Control.Exec(t.Context(), `ALTER DATABASE `+name+` RENAME TO `+name+`_lost`)
		return err == nil
	}, "its connections end")
	t.Cleanup(func() {
		_, err := s.Control.Exec(context.WithoutCancel(t.Context()), `ALTER DATABASE `+name+`_lost RENAME TO `+name)
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
