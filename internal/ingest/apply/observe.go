package apply

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/tracing"
)

// Metrics are the Prometheus metrics of applying. Their labels have few values: providers, custom ones as one, and outcomes.
type Metrics struct {
	events  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_events_total",
			Help: "Outcomes of events by provider and outcome (applied, stale, duplicate, ignored, failed, pending); a retried event counts again.",
		}, []string{"provider", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "authsync_event_apply_seconds",
			Help:    "Time from the receipt of a message to the recorded outcome of its event applied to the mirror, by provider.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2.5, 14), // to 12 minutes
		}, []string{"provider"}),
	}
	registry.MustRegister(m.events, m.seconds)
	return m
}

// times are when the steps of a batch were taken, by the wall clock: spans are shown beside those of other processes.
type times struct {
	begun, decoded, applying, applied, recording time.Time
}

// maxTraced is the maximum number of events of a batch that are traced, so that a sampled message with many does not crowd
// out the spans of others.
const maxTraced = 100

// observe logs, counts and traces the outcomes of a batch, once they are committed: a line for each outcome, and one for the
// batch.
func (c *Config) observe(ctx context.Context, jobID int64, name string, b *batch) {
	now := c.Now()
	counts := make(map[string]int)
	traced := 0
	for i := range b.outcomes {
		o := &b.outcomes[i]
		counts[o.Outcome]++
		c.log(ctx, o, now)
		c.Metrics.observe(o, now) //nolint:contextcheck // a traceparent is parsed into a context of its own
		if o.TraceParent != "" && c.Tracer.On() && traced < maxTraced {
			traced++
			c.trace(ctx, name, b, o)
		}
	}
	c.Log.DebugContext(ctx, "events_applied", slog.Int64("job_id", jobID), slog.Any("outcomes", counts))
}

// observe counts an outcome. A sampled event is an example of how long applying takes.
func (m *Metrics) observe(o *inbox.Outcome, now time.Time) {
	if m == nil {
		return
	}
	name := provider.Kind(o.Provider)
	m.events.WithLabelValues(name, o.Outcome).Inc()
	if o.Outcome != inbox.Applied {
		return
	}
	tracing.Observe(m.seconds.WithLabelValues(name), now.Sub(o.ReceivedAt), o.TraceParent)
}

// trace makes the spans of an event. All events of a batch have the same times: they share its calls.
func (c *Config) trace(ctx context.Context, name string, b *batch, o *inbox.Outcome) {
	end := time.Now()
	steps := []tracing.Step{{Name: "read and decode", Begun: b.times.begun, End: b.times.decoded}}
	if !b.times.applying.IsZero() {
		steps = append(steps, tracing.Step{Name: "apply to mirror", Begun: b.times.applying, End: b.times.applied})
	}
	steps = append(steps, tracing.Step{Name: "record outcome", Begun: b.times.recording, End: end})
	c.Tracer.Record(ctx, o.TraceParent, tracing.Step{Name: name, Begun: b.times.begun, End: end}, steps, o.Outcome == inbox.Failed,
		tracing.String("authsync.project_id", o.ProjectID.String()), tracing.String("authsync.provider", provider.Kind(o.Provider)),
		tracing.Int("authsync.inbox_id", o.InboxID), tracing.Int("authsync.ordinal", o.Ordinal),
		tracing.String("authsync.event_type", short(o.Type)), tracing.String("authsync.outcome", o.Outcome),
		tracing.Int("messaging.batch.message_count", len(b.outcomes)))
}

// short bounds what a sender chose.
func short(text string) string {
	const most = 64 // bytes
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
