package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/problem"
)

func TestRequestsOfNoProjectAreShownOncePerSecondAndThenCounted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	f := newFollower()
	f.missed.now = func() time.Time { return now }
	f.on.Store(true)
	stray := func(n int, path string) {
		for range n {
			f.observe(receiver.Message{Status: 404, Path: path})
		}
	}
	held := func() string {
		m, due := f.missed.held()
		if !due {
			return "none"
		}
		return fmt.Sprintf("%s and %d", m.Path, m.Others)
	}
	stray(5000, "/webhook")
	require.Len(t, f.messages, 1)
	require.Equal(t, "none", held(), "the second is not over")
	stray(1, "/webhook/mine")
	now = now.Add(missedEvery)
	stray(1, "/webhook/newest")
	require.Len(t, f.messages, 1, "what is held comes first")
	require.Equal(t, "/webhook/newest and 5000", held())
	stray(1, "/webhook/later")
	require.Len(t, f.messages, 1, "this second has its line")
	require.Equal(t, "none", held())
	now = now.Add(missedEvery)
	require.Equal(t, "/webhook/later and 0", held())
	now = now.Add(missedEvery)
	stray(1, "/webhook")
	require.Len(t, f.messages, 2)
	now = now.Add(missedEvery)
	require.Equal(t, "none", held(), "none was left out")

	for range 10 {
		f.observe(receiver.Message{ProjectID: uuid.New(), Status: 401})
	}
	require.Len(t, f.messages, 12, "those of projects are shown all the same")
	require.Zero(t, f.lost.Load())
}

func TestMissedWebhooksAreObserved(t *testing.T) {
	t.Parallel()
	var seen []receiver.Message
	h := observeMissed(func(m receiver.Message) { seen = append(seen, m) }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/webhook/served" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		problem.Write(w, r, http.StatusNotFound, "there is nothing")
	}))
	for _, path := range []string{"/webhook", "/webhook/served", "/api/capydb/v1/integrations/auth0/webhook", "/api/capydb/v1/projects/shop/runs"} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, http.NoBody))
	}
	require.Len(t, seen, 2)
	require.Equal(t, "/webhook", seen[0].Path)
	require.Equal(t, 404, seen[1].Status)
	require.Equal(t, "path_unknown", seen[1].Reason)
}
