package dashboard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKeysAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	keys := s.get(t, "/keys", s.all)
	nameless := keys.form(t, "/keys")
	nameless.values.Set("expires_on", "2030-12-31")
	wrong := s.post(t, nameless, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Equal(t, "2030-12-31", wrong.form(t, "/keys").values.Get("expires_on"), "corrected and sent again, it still expires")
	require.Contains(t, wrong.text, `aria-invalid="true"`)

	create := keys.form(t, "/keys")
	create.values.Set("name", hostile+"2")
	create.values.Set("project_id", s.shop.ID.String())
	create.values.Set("role", "read_only")
	create.values.Set("expires_on", "1999-12-31")
	past := s.post(t, create, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, past.status)
	require.Contains(t, past.words, "expires_at")
	create.values.Set("expires_on", time.Now().AddDate(1, 0, 0).Format(time.DateOnly))
	made := s.post(t, create, s.all)
	require.Equal(t, http.StatusOK, made.status, "%s", made.words)
	_, secret, found := strings.Cut(made.words, "capy_live_")
	require.True(t, found)
	secret = "capy_live_" + strings.Fields(secret)[0]
	twice := s.post(t, create, s.all)
	require.Contains(t, twice.words, secret, "a form that is sent twice does its work once")
	require.NotContains(t, s.get(t, "/keys", s.all).text, secret)
	require.Len(t, s.get(t, "/keys", s.all).forms("/revoke"), 4)

	theirs := s.signIn(t, secret)
	require.Equal(t, http.StatusOK, s.get(t, s.path(), theirs).status)
	require.Equal(t, http.StatusForbidden, s.get(t, "/keys", theirs).status, "it is for one project")
	require.Equal(t, http.StatusForbidden, s.post(t, create, theirs).status)
	require.NotContains(t, s.get(t, s.path(), theirs).text, `href="/keys"`)
	for _, f := range s.get(t, "/keys", s.all).forms("/revoke") {
		key, err := s.Store.Authenticate(t.Context(), secret)
		require.NoError(t, err)
		if strings.Contains(f.action, key.ID.String()) {
			require.Contains(t, s.do(t, f, s.all).notice(t), "revoked")
			break
		}
	}
	require.Equal(t, http.StatusSeeOther, s.get(t, s.path(), theirs).status, "its session has ended")
}
