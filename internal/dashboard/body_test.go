package dashboard_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/provider"
)

// A body is shown as text, also if it has markup as it is: most senders of JSON write < as \u003c, and an attacker does not.
func TestABodyWithMarkupIsShownAsText(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.send(t, provider.Sample{Type: "user.created", UserID: "user_ada"})
	s.settled(t, 1)
	for _, body := range []string{`<script>alert(1)</script>`, `{"first_name": "<script>alert(1)</script>", "</pre><img src=x onerror=alert(2)>": 1}`} {
		s.exec(t, `UPDATE authsync.inbox SET body = convert_to($1, 'UTF8')`, body)
		event := s.get(t, s.event(t, "user.created"), s.all)
		require.Equal(t, http.StatusOK, event.status)
		require.Contains(t, event.words, body, "as received")
	}
	for _, raw := range []string{`{"a": "<script>alert(1)</script>"}`, `"<script>alert(1)</script>"`, `["<script>", "<script>"]`} {
		text, err := dashboard.RenderValue(json.RawMessage(raw))
		require.NoError(t, err)
		require.Contains(t, text, "script")
		require.NotContains(t, text, "<script")
	}
}
