package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestAProjectIsCreatedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	home := s.get(t, "/", s.all)
	require.Equal(t, []string{"/new-project"}, home.links("/new-project"))
	limited := s.get(t, "/", s.limited)
	require.Empty(t, limited.links("/new-project"), "a key of one project makes no other")
	create := s.get(t, "/new-project", s.all).form(t, "/projects")
	for url, want := range map[string]string{
		"nonsense": "database_url", "postgres://nobody:secret-of-nobody@127.0.0.1:1/none": "nobody@127.0.0.1:1",
		pgtest.URL(t, s.Mirror): "adopt",
	} {
		create.values.Set("name", "new")
		create.values.Set("database_url", url)
		refused := s.post(t, create, s.all)
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusConflict, http.StatusServiceUnavailable}, refused.status, "%s", refused.words)
		require.Contains(t, refused.words, want)
		require.NotContains(t, refused.text, "secret-of-nobody")
		again := refused.form(t, "/projects")
		require.Equal(t, "new", again.values.Get("name"))
		require.Empty(t, again.values.Get("database_url"))
	}
	database := pgtest.Project(t)
	made := s.do(t, create, s.all, "database_url", pgtest.URL(t, database))
	require.Contains(t, made.notice(t), "Project new is created")
	page := strings.TrimSuffix(made.form(t, "/delete").action, "/delete")

	changed := s.do(t, made.form(t, page), s.all, "name", "renamed")
	require.Contains(t, changed.text, "<h1>renamed</h1>")
	taken := changed.form(t, page)
	taken.values.Set("name", "shop")
	require.Equal(t, http.StatusConflict, s.post(t, taken, s.all).status)

	kept := s.do(t, changed.form(t, "/retention"), s.all, "keep_inbox", "3", "keep_ledger", "9")
	require.Contains(t, kept.notice(t), "retention is changed")
	form := kept.form(t, "/retention")
	require.Equal(t, []string{"3", "9", ""}, []string{form.values.Get("keep_inbox"), form.values.Get("keep_ledger"), form.values.Get("keep_changes")})
	require.Contains(t, kept.words, "Kept for 9 days.")
	require.Contains(t, kept.words, "Kept for 90 days, the server's default.")
	form.values.Set("keep_ledger", "8")
	form.values.Set("keep_inbox", "")
	refused := s.post(t, form, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.words, "keep_days.ledger is 8: must be at least 30")
	form.values.Set("keep_ledger", "")
	require.Contains(t, s.do(t, form, s.all).words, "Kept for 30 days, the server's default.")

	remove := changed.form(t, "/delete")
	remove.values.Set("name", "shop")
	require.Equal(t, http.StatusUnprocessableEntity, s.post(t, remove, s.all).status)
	require.Equal(t, http.StatusOK, s.get(t, page, s.all).status)
	require.Contains(t, s.do(t, remove, s.all, "name", "renamed").notice(t), "deleted")
	require.Equal(t, http.StatusNotFound, s.get(t, page, s.all).status)
	var users bool
	require.NoError(t, database.QueryRow(t.Context(), `SELECT to_regclass('capydb_auth.users') IS NOT NULL`).Scan(&users))
	require.True(t, users, "the mirror stays")
}
