package dashboard_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a destination would be sent is seen before it is created or changed. Nothing is stored or sent, and secrets are neither
// needed nor shown.
func TestADestinationIsPreviewedBeforeItIsStored(t *testing.T) {
	t.Parallel()
	s, there := newSite(t), newReceiver(t)
	s.user(t, 1, hostileID, hostile)
	create := s.get(t, s.path("destinations", "new")+"?type=http", s.all).form(t, "/destinations")
	create.values.Set("requests.1.url", there.url+"/{{ .record_id | @uri }}")
	create.values.Set("requests.1.body", "{first: .user.first_name, key: ($secrets.api_key | @base64)}")
	create.values.Set("new_secret.0.name", "api_key")
	create.values.Set("do", "preview")
	asked := s.post(t, create, s.all)
	require.Contains(t, asked.fault(t, "preview_id"), "Enter the id of a record")
	create.values.Set("preview_id", "nobody")
	asked = s.post(t, create, s.all)
	require.Contains(t, asked.fault(t, "preview_id"), "The mirror has no such record")

	create.values.Set("preview_id", hostileID)
	shown := s.post(t, create, s.all)
	require.Equal(t, http.StatusOK, shown.status, "%s", shown.words)
	require.Contains(t, shown.words, "is one that it would be sent")
	require.Contains(t, shown.words, "alert(1)", "the body is shown")
	require.Equal(t, hostileID, shown.form(t, "/destinations").values.Get("preview_id"))
	create.values.Set("event_types", "user.deleted")
	require.Contains(t, s.post(t, create, s.all).words, "would not be sent to it")
	var kept int
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.idempotency_keys`).Scan(&kept))
	require.Zero(t, kept, "no answer is kept")
	create.values.Set("requests.1.body", "{")
	wrong := s.post(t, create, s.all)
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.Equal(t, hostileID, wrong.form(t, "/destinations").values.Get("preview_id"))

	// Of one that there is, the stored secrets are not used, so that no form leads them elsewhere.
	s.call(t, http.MethodPost, "", map[string]any{
		"name": "app", "type": "http", "secrets": map[string]string{"api_key": "0123456789abcdef"},
		"options": map[string]any{"requests": map[string]any{"default": map[string]any{"url": there.url}}},
	})
	before := s.call(t, http.MethodGet, "/app", nil)["options"]
	change := s.get(t, s.path("destinations", "app", "change"), s.all).form(t, "/change")
	change.values.Set("requests.0.body", "{key: ($secrets.api_key | @base64)}")
	change.values.Set("do", "preview")
	change.values.Set("preview_id", hostileID)
	shown = s.post(t, change, s.all)
	require.Equal(t, http.StatusOK, shown.status, "%s", shown.words)
	require.NotContains(t, shown.words, "MDEyMzQ1Njc4OWFiY2RlZg==")
	require.JSONEq(t, string(before), string(s.call(t, http.MethodGet, "/app", nil)["options"]), "nothing is changed")
	require.Len(t, s.linksOf(t, s.path("destinations"), s.path("destinations", "app")), 1)
	bodies, _ := there.received()
	require.Empty(t, bodies, "nothing is sent")
}

func TestHubSpotIsPreviewedWithoutAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.user(t, 1, "user_ada", "Ada")
	create := s.get(t, s.path("destinations", "new")+"?type=hubspot", s.all).form(t, "/destinations")
	create.values.Set("options.properties", "plan: .user.first_name")
	create.values.Set("preview_id", "user_ada")
	create.values.Set("do", "preview")
	shown := s.post(t, create, s.all)
	require.Equal(t, http.StatusOK, shown.status, "%s", shown.words)
	require.Contains(t, shown.words, `"plan": "Ada"`)
}
