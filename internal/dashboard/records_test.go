package dashboard_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

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
	named := s.get(t, users+"?"+url.Values{"name": {strings.ToUpper(hostile[:20])}}.Encode(), s.all)
	require.Equal(t, []string{s.path("records", "user", hostileID)}, named.links(users+"/"))
	require.Contains(t, named.words, "users by name")
	require.Contains(t, s.get(t, users+"?name=nobody", s.all).words, "The mirror has none that matches")
	long := s.get(t, users+"?name="+strings.Repeat("a", 65), s.all)
	require.Equal(t, http.StatusUnprocessableEntity, long.status)
	require.Contains(t, long.words, "at most 64 characters")
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
