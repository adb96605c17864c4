package dashboard_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoticesAreOurs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, value := range []string{"", "hello", "aGVsbG8", s.all.Value} {
		page := s.get(t, s.path(), s.all, &http.Cookie{Name: "authsync_notice", Value: value})
		require.Equal(t, http.StatusOK, page.status)
		require.NotContains(t, page.text, `class="notice"`)
	}
}

// Another tab that looks for news in this moment does not take what is said to the one that sent the form.
func TestOnlyAPageThatIsOpenedTakesTheNotice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	form := s.get(t, s.path(), s.all).forms(s.path())[0]
	sent := s.post(t, form, s.all)
	require.Equal(t, http.StatusSeeOther, sent.status)
	left := slices.IndexFunc(sent.cookies, func(c *http.Cookie) bool { return c.Name == "authsync_notice" })
	require.NotEqual(t, -1, left)
	require.True(t, sent.cookies[left].HttpOnly, "no script reads it")
	require.Equal(t, http.SameSiteStrictMode, sent.cookies[left].SameSite, "no page of another site brings it along")
	look := s.look(t, s.path(), append(sent.cookies, s.all)...)
	require.Equal(t, http.StatusOK, look.status)
	require.Empty(t, look.cookies)
	require.NotContains(t, look.text, `class="notice"`)
	require.Contains(t, s.get(t, s.path(), append(sent.cookies, s.all)...).notice(t), "changed")
}
