package dashboard_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	b := setupAt(t, "https://sync.example.com/")
	cookie, id := b.session(t), b.job(t)
	post := func(path string, header map[string]string) int {
		w := b.do(t, request{method: http.MethodPost, path: path, cookie: cookie, header: header, body: idsOf(id)})
		if w.Code == http.StatusForbidden {
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), "AUTHSYNC_PUBLIC_URL")
		}
		return w.Code
	}
	for _, path := range []string{"/river/api/jobs/delete", "/river/api/jobs/cancel", "/sign-in", "/sign-out"} {
		for _, header := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"},
			{"Sec-Fetch-Site": "same-site"},
			{"Origin": "https://evil.example"},
			{"Origin": "null"},
			{"Origin": "https://sync.example.com:8443"},
		} {
			require.Equal(t, http.StatusForbidden, post(path, header), "%s %v", path, header)
		}
	}
	require.Equal(t, "available", b.state(t, id))
	require.Equal(t, http.StatusOK, post("/river/api/jobs/cancel", map[string]string{"Origin": "https://sync.example.com"}))
	require.Equal(t, "cancelled", b.state(t, id))
	require.Equal(t, http.StatusOK, post("/river/api/jobs/delete", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "null"}))
	require.Empty(t, b.state(t, id))
}

func TestProgramsReadAProblemWhereThereIsNoPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cookie := b.session(t)
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodPost, "/", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/projects/a/events", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/sign-out", http.StatusMethodNotAllowed, "POST"},
		{http.MethodPut, "/sign-in", http.StatusMethodNotAllowed, "GET, HEAD, POST"},
		{http.MethodGet, "/assets/nonsense", http.StatusNotFound, ""},
		{http.MethodGet, "/river/authsync/nonsense", http.StatusNotFound, ""},
	} {
		w := b.do(t, request{method: tc.method, path: tc.path, cookie: cookie})
		require.Equal(t, tc.status, w.Code, tc.path)
		require.Equal(t, tc.allow, w.Header().Get("Allow"), tc.path)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), tc.path)
	}
}

// What the API refuses is not the server's fault, and the API has logged it.
func TestARefusalIsNoErrorInTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusNotFound, b.get(t, "/", b.session(t)).Code)
	require.Contains(t, b.log.String(), "projects_not_listed")
	require.NotContains(t, b.log.String(), `"level":"ERROR"`)
}
