package delivery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// hook is the type webhook with an address and a secret of the test.
type hook struct {
	webhook.Type

	url string
}

func (h hook) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	_, secret, _ := h.NewSecret()
	name := h.SecretNames()[0]
	c.Options = []byte(fmt.Sprintf(`{"url": %q}`, h.url))
	c.Secrets.Values = map[string]string{name: secret}
	d.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return h.Type.New(c, d)
}

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
		bundle := setup(b)
		users := make([]string, changes)
		for i := range users {
			users[i] = fmt.Sprint("u", i%5000)
		}
		bundle.apply(b, users...)
		url := answering(b, func(string) {})
		bundle.slice = 10 * time.Second
		bundle.work(b)
		b.ResetTimer()
		begun := time.Now()
		id := bundle.addType(b, "hook", hook{url: url}, delivery.From{Beginning: true})
		waittest.Until(b, func() bool {
			return bundle.states(b, id) == fmt.Sprint("delivered ", changes)
		})
		b.ReportMetric(changes/time.Since(begun).Seconds(), "deliveries/s")
		b.StopTimer()
	}
}

// BenchmarkWebhookLatency measures from the commit of a change to its arrival, one at a time.
func BenchmarkWebhookLatency(b *testing.B) {
	bundle := setup(b)
	var mu sync.Mutex
	waiting := make(chan struct{}, 1)
	url := answering(b, func(string) {
		mu.Lock()
		defer mu.Unlock()
		waiting <- struct{}{}
	})
	bundle.slice = 10 * time.Second
	bundle.work(b)
	bundle.addType(b, "hook", hook{url: url}, delivery.From{})
	var took []time.Duration
	for i := range max(b.N, 100) {
		bundle.apply(b, fmt.Sprint("u", i))
		begun := time.Now()
		bundle.wake(b)
		<-waiting
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
