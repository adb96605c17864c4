package delivery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// answering is a server that answers at once and says when each message came.
func answering(tb testing.TB, came func(id string)) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { came(r.Header.Get("webhook-id")) }))
	tb.Cleanup(server.Close)
	return server.URL
}

// BenchmarkWebhooks delivers 20,000 changes to a sink that answers at once.
func BenchmarkWebhooks(b *testing.B) {
	const changes = 20_000
	for range b.N {
		bundle := deliverytest.New(b)
		users := make([]string, changes)
		for i := range users {
			users[i] = fmt.Sprint("u", i%5000)
		}
		bundle.Apply(b, users...)
		url := answering(b, func(string) {})
		bundle.Slice = 10 * time.Second
		bundle.Work(b)
		b.ResetTimer()
		begun := time.Now()
		id := bundle.AddType(b, "hook", deliverytest.Hook{URL: url}, admin.From{Beginning: true})
		waittest.Until(b, func() bool {
			return bundle.States(b, id) == fmt.Sprint("delivered ", changes)
		})
		b.ReportMetric(changes/time.Since(begun).Seconds(), "deliveries/s")
		b.StopTimer()
	}
}

// BenchmarkWebhookLatency measures from the commit of a change to its arrival, one at a time.
func BenchmarkWebhookLatency(b *testing.B) {
	bundle := deliverytest.New(b)
	var mu sync.Mutex
	waiting := make(chan struct{}, 1)
	url := answering(b, func(string) {
		mu.Lock()
		defer mu.Unlock()
		waiting <- struct{}{}
	})
	bundle.Slice = 10 * time.Second
	bundle.Work(b)
	bundle.AddType(b, "hook", deliverytest.Hook{URL: url}, admin.From{})
	var took []time.Duration
	for i := range max(b.N, 100) {
		bundle.Apply(b, fmt.Sprint("u", i))
		begun := time.Now()
		bundle.Wake(b)
		<-waiting
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
