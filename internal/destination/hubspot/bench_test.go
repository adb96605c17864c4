package hubspot_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// BenchmarkSend measures what a batch of new users costs here, HubSpot's own time left out.
func BenchmarkSend(b *testing.B) {
	portal := hubspottest.New(unlimited())
	d := open(b, "http://portal.example", withID, destination.Deps{Client: &http.Client{Transport: direct{portal}}})
	messages := created(b, newUsers(100))
	for b.Loop() {
		for _, r := range d.Send(b.Context(), messages) {
			require.Equal(b, destination.Delivered, r.Outcome)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "users/s")
}
