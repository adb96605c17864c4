package app_test

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
	"github.com/authsync/authsync/internal/tracing"
)

// spans is a collector that keeps what it is sent.
type spans struct {
	mu   sync.Mutex
	all  []*tracev1.Span
	text strings.Builder // everything, to look for what must not be in it
}

func (s *spans) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &sent) != nil {
		return // the test finds nothing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.WriteString(sent.String())
	for _, of := range sent.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			s.all = append(s.all, scope.GetSpans()...)
		}
	}
}

// tree returns the spans of a trace by name, and of each the name of its parent.
func (s *spans) tree(trace string) (byName map[string]*tracev1.Span, parents map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names, byName, parents := map[string]string{}, map[string]*tracev1.Span{}, map[string]string{}
	for _, span := range s.all {
		names[string(span.GetSpanId())] = span.GetName()
	}
	for _, span := range s.all {
		if hex.EncodeToString(span.GetTraceId()) == trace {
			byName[span.GetName()] = span
			parents[span.GetName()] = names[string(span.GetParentSpanId())]
		}
	}
	return byName, parents
}

// TestOneTraceFromReceiptToDestination: the process that receives, the one that applies and delivers, and the destination
// are in one trace, which says nothing of the person.
func TestOneTraceFromReceiptToDestination(t *testing.T) { // not parallel: it sets variables
	in := install(t)
	var seen spans
	stub := httptest.NewServer(&seen)
	t.Cleanup(stub.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", stub.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	told := make(chan string, 10)
	destination := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Traceparent") }))
	t.Cleanup(destination.Close)
	in.settings.AllowTargets = egress.Loopback()

	process := func(roles config.Roles) (*app.App, func()) {
		t.Helper()
		tracer, export, err := tracing.Start(t.Context(), config.Environment(), "1.2.3", slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.True(t, tracer.On())
		c := in.settings
		c.Roles = roles
		a, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler), Tracer: tracer})
		require.NoError(t, err)
		stop := sync.OnceFunc(func() {
			require.NoError(t, a.Stop(context.WithoutCancel(t.Context())))
			require.NoError(t, export(context.WithoutCancel(t.Context())))
		})
		t.Cleanup(stop)
		return a, stop
	}
	receiver, stopReceiver := process(config.Roles{Receiver: true, API: true})
	worker, stopWorker := process(config.Roles{Worker: true})
	api := client.New(receiver.URL(), in.key)
	t.Cleanup(api.Close)
	_, err := api.AddDestination(t.Context(), in.projectID, map[string]any{
		"name": "crm", "type": "webhook", "options": map[string]any{"url": destination.URL},
	})
	require.NoError(t, err)
	require.NoError(t, in.send(t, receiver.URL(), provider.Clerk, "user_of_the_trace"))
	var parent string
	waittest.Until(t, func() bool {
		select {
		case parent = <-told:
			return true
		default:
			return false
		}
	})
	trace := tracing.TraceID(parent)
	require.NotEmpty(t, trace, "the destination is told the trace: %q", parent)
	_, metrics := in.metrics(t, worker.URL()+"/metrics")
	require.Contains(t, metrics, `authsync_events_total{outcome="applied",provider="clerk"} 1`)
	_, exemplars := in.openMetrics(t, worker.URL()+"/metrics")
	require.Contains(t, exemplars, `# {trace_id="`+trace+`"}`)
	stopReceiver()
	stopWorker()

	found, parents := seen.tree(trace)
	require.Equal(t, map[string]string{
		"receive webhook": "", "verify": "receive webhook", "append to inbox": "receive webhook",
		"apply event": "append to inbox", "read and decode": "apply event", "apply to mirror": "apply event", "record outcome": "apply event",
		"deliver change": "append to inbox",
	}, parents)
	require.Equal(t, parent, "00-"+trace+"-"+hex.EncodeToString(found["deliver change"].GetSpanId())+"-01")
	for name, span := range found {
		require.LessOrEqual(t, span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano(), name)
	}
	require.Contains(t, seen.text.String(), "1.2.3")
	require.Contains(t, seen.text.String(), "deployment.environment.name")
	require.NotContains(t, seen.text.String(), "user_of_the_trace")
	require.NotContains(t, seen.text.String(), "@example")
}

// TestATraceIsNotTheSenders: the traceparent of a stranger neither chooses the trace nor is stored.
func TestATraceIsNotTheSenders(t *testing.T) {
	t.Parallel()
	const theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	tracer := tracing.New()
	ctx, span := tracer.Receive(t.Context(), http.Header{"Traceparent": {theirs}}, "receive webhook")
	span.End(false)
	require.NotEqual(t, tracing.TraceID(theirs), tracing.TraceID(tracing.Parent(ctx)))
	require.NotEmpty(t, tracing.Parent(ctx))
	require.Empty(t, tracing.Parent(t.Context()))
}
