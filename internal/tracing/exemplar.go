package tracing

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Observe records a duration. If the traceparent is of a sampled trace, the trace is the bucket's exemplar.
func Observe(histogram prometheus.Observer, took time.Duration, parent string) {
	if id := TraceID(parent); id != "" {
		if with, ok := histogram.(prometheus.ExemplarObserver); ok {
			with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": id})
			return
		}
	}
	histogram.Observe(took.Seconds())
}
