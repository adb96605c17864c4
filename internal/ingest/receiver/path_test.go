package receiver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/receiver"
)

func TestWrongPathIsSeenToBeMeantForWebhooks(t *testing.T) {
	t.Parallel()
	const prefix = "/api/capydb/v1"
	for path, misses := range map[string]bool{
		"/webhook":                                                 true,
		"/webhooks/clerk":                                          true,
		"/api/capydb/v1/integrations":                              true,
		prefix + "/integrations/auth0":                             true,
		prefix + "/integrations/auth0/webhook":                     true,
		prefix + "/integrations/auth0/webhook/":                    true,
		prefix + "/integrations/auth0/Webhook/id/more":             true,
		"/integrations/auth0/webhook/" + uuid.NewString():          true,
		prefix + "/projects/shop/integrations/auth0/webhook":       true,
		prefix + "/integrations/auth0/webhook/" + uuid.NewString(): false, // the receiver tells
		prefix + "/projects/shop/integrations/auth0/backfills":     false,
		prefix + "/projects/shop/destinations/webhook/pause":       false,
		prefix + "/projects":                                       false,
		"/sign-in":                                                 false,
	} {
		r := httptest.NewRequest(http.MethodPost, path, http.NoBody)
		require.Equal(t, misses, receiver.Misses(r), path)
		r.Method = http.MethodGet
		require.False(t, receiver.Misses(r), path)
	}
	m := receiver.Missed(httptest.NewRequest(http.MethodPost, "/webhook/%1b?secret=1", http.NoBody), time.Unix(7, 0), http.StatusNotFound)
	require.Equal(t, receiver.Message{
		ReceivedAt: time.Unix(7, 0), Provider: "unknown", Path: "/webhook/%1b", Status: 404, Reason: "path_unknown",
		Detail: "There is nothing at this path: a webhook's is /api/capydb/v1/integrations/{provider}/webhook/{projectID}.",
	}, m)
}
