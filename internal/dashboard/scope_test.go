package dashboard_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

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
		w, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+asset, http.NoBody)))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, w.StatusCode)
		require.NoError(t, w.Body.Close())
	}
	w, err := quiet.RoundTrip(must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/", http.NoBody)))
	require.NoError(t, err)
	text, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	require.Equal(t, "text/plain; charset=utf-8", w.Header.Get("Content-Type"), "programs get text")
	require.Contains(t, string(text), "This is authsync")
}
