package dashboard_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
)

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
