package dashboard_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/sitetest"
)

// look asks for a page again, as its script does.
func (s *site) look(t *testing.T, path string, cookies ...*http.Cookie) *page {
	t.Helper()
	script, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/assets/page.js", http.NoBody)))
	require.NoError(t, err)
	text, err := io.ReadAll(script.Body)
	require.NoError(t, err)
	require.NoError(t, script.Body.Close())
	require.Contains(t, string(text), `"Authsync-Look": "1"`)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody))
	r.Header.Set("Authsync-Look", "1")
	return open(t, r, cookies...)
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
	require.Contains(t, opened.text, "svix "+provider.SecretName(sitetest.ClerkSecret))
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

// What a form answered with stands at its address, and looks for news there.
func TestThePageOfAFormOfADestinationLooksForNews(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.outbound(t)
	for _, form := range []string{"/test", "/rotate"} {
		look := s.look(t, one+form, s.all)
		require.Equal(t, http.StatusOK, look.status)
		require.Contains(t, look.text, `id="state-section"`)
	}
}
