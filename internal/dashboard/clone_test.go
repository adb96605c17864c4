package dashboard_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The page of a clone says where its records come from, and how far it is.
func TestThePageOfAClone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p, err := s.Store.CloneProject(t.Context(), project.CloneInput{
		NewProject: project.NewProject{Name: "preview", DatabaseURL: pgtest.URL(t, pgtest.Empty(t))}, Source: s.other.ID, Mode: project.CloneStill,
	})
	require.NoError(t, err)
	var page *page
	waittest.Until(t, func() bool {
		page = s.get(t, "/projects/"+p.ID.String(), s.all)
		return strings.Contains(page.words, "It stands still: as other was at")
	})
	require.Contains(t, page.text, `<a href="/projects/`+s.other.ID.String()+`">other</a>`)
	require.Contains(t, page.words, "No identity provider is connected: the records come from project other.")
	require.NotContains(t, s.get(t, s.path(), s.all).words, "Source")
}

// The form makes a clone with the checks of a new project, and the page of the clone copies once more.
func TestACloneIsMadeByItsForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, []string{s.path("clone")}, s.get(t, s.path(), s.all).links(s.path("clone")))
	require.Empty(t, s.get(t, s.path(), s.limited).links(s.path("clone")), "a key of one project clones none")
	require.Equal(t, http.StatusForbidden, s.get(t, s.path("clone"), s.limited).status)
	order := s.get(t, s.path("clone"), s.all).form(t, "/clone")
	require.Equal(t, http.StatusForbidden, s.post(t, order, s.limited).status)
	order.values.Set("name", "preview")
	order.values.Set("mode", "still")
	for url, want := range map[string]string{
		"nonsense": "database_url", "postgres://nobody:secret-of-nobody@127.0.0.1:1/none": "nobody@127.0.0.1:1",
		pgtest.URL(t, s.Mirror): "this is the database of the project that is to be cloned", pgtest.URL(t, s.Control): "authsync",
	} {
		order.values.Set("database_url", url)
		refused := s.post(t, order, s.all)
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusServiceUnavailable}, refused.status, "%s", refused.words)
		require.Contains(t, refused.words, want)
		require.NotContains(t, refused.text, "secret-of-nobody")
		again := refused.form(t, "/clone")
		require.Equal(t, []string{"preview", "still", ""}, []string{again.values.Get("name"), again.values.Get("mode"), again.values.Get("database_url")})
	}
	order.values.Set("name", "shop")
	order.values.Set("database_url", pgtest.URL(t, pgtest.Empty(t)))
	require.Equal(t, http.StatusConflict, s.post(t, order, s.all).status)

	made := s.do(t, order, s.all, "name", "preview")
	require.Contains(t, made.notice(t), "Project preview is created. Its mirror is copied from shop.")
	resync := made.form(t, "/resync")
	page := strings.TrimSuffix(resync.action, "/resync")
	waittest.Until(t, func() bool { return strings.Contains(s.get(t, page, s.all).words, "It stands still: as shop was at") })
	require.Contains(t, s.do(t, resync, s.all, "mode", "following").notice(t), "The mirror is copied once more from shop.")
	waittest.Until(t, func() bool { return strings.Contains(s.get(t, page, s.all).words, "It follows shop") })
	require.Empty(t, s.get(t, page, s.limited).forms("/resync"))
}
