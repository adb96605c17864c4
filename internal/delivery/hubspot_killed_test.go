package delivery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// The process dies while the second attempt waits for HubSpot's answer: that attempt is shown, what it sent is not known, and what
// the first one sent stays.
func TestKilledAttemptToHubSpotIsShown(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	portal := hubspottest.New(hubspottest.Config{
		Properties:        map[string]hubspottest.Property{"user_id": {Unique: true}},
		CompanyProperties: map[string]hubspottest.Property{"organization_id": {Unique: true}},
	})
	var hangs atomic.Bool
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case hangs.Load():
			_, _ = io.Copy(io.Discard, r.Body)
			asked <- struct{}{}
			<-r.Context().Done()
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusBadGateway)
		default:
			portal.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	id := b.AddType(t, "crm", crm{url: server.URL, client: &http.Client{Transport: transport}}, admin.From{})
	b.SetPause(time.Hour)
	kill := b.Work(t)
	b.ApplyRecords(t, record.Ref{Type: record.User, ID: "u1"})
	b.Wake(t)
	b.Eventually(t, id, "retrying 1")
	kill()

	hangs.Store(true)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET state = 'ready', job_id = NULL, next_attempt_at = NULL`)
	require.NoError(t, err)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	kill = b.Work(t)
	<-asked
	kill()

	delivery, err := strconv.ParseInt(b.One(t, `SELECT id::text FROM authsync.deliveries`), 10, 64)
	require.NoError(t, err)
	d, err := b.Admin.FindDelivery(t.Context(), b.ProjectID, delivery)
	require.NoError(t, err)
	require.Len(t, d.AttemptLog, 2)
	require.Equal(t, "unknown", d.AttemptLog[0].Outcome)
	require.Nil(t, d.AttemptLog[0].Requests)
	require.Equal(t, "retried", d.AttemptLog[1].Outcome)
	require.Len(t, d.AttemptLog[1].Requests, 2, "a look-up and the creation that failed")
	require.Equal(t, http.MethodPost, d.AttemptLog[1].Requests[1].Method)
}
