// Package tracing follows an event from the request that brought it to the destinations that it reached, as one trace of
// OpenTelemetry, and exports the spans by OTLP.
//
//	receive webhook ─▶ verify, append to inbox            the process that receives
//	apply event ─▶ read and decode, apply to mirror, record outcome    a job, perhaps in another process
//	deliver change                                        another job; the destination gets traceparent
//
// The context crosses the jobs with the message: the receiver keeps the traceparent of a sampled request in the headers of
// the inbox. Spans of jobs are made after the work from the times that it took, so that a batch of 500 events costs nothing
// unless one of them is sampled.
//
// Spans carry ids of projects, messages and destinations, types and outcomes: no id of a user, no payload, no reason.
//
// A nil *Tracer is off: all methods may be called.
package tracing

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Header is the header that carries the context of a trace (W3C Trace Context), and its name among the headers of a message.
const Header = "Traceparent"

const scope = "github.com/authsync/authsync"

// Tracer makes spans.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
}

// Span is work in progress. End it.
type Span struct{ span trace.Span }

// Attribute describes a span.
type Attribute = attribute.KeyValue

// String returns an attribute with a text.
func String(key, value string) Attribute { return attribute.String(key, value) }

// Int returns an attribute with a number.
func Int[N int | int64](key string, value N) Attribute { return attribute.Int64(key, int64(value)) }

// On reports whether spans are made at all.
func (t *Tracer) On() bool { return t != nil }

// Receive starts the trace of a request from a stranger. Whoever sends a traceparent decides neither which trace the request
// belongs to nor whether it is sampled: his is a link.
func (t *Tracer) Receive(ctx context.Context, header http.Header, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer)}
	if remote := parse(header.Get(Header)); remote.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: remote}))
	}
	ctx, span := t.tracer.Start(ctx, name, options...)
	return ctx, Span{span}
}

// Start starts a span within the one in ctx.
func (t *Tracer) Start(ctx context.Context, name string, attributes ...Attribute) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithAttributes(attributes...))
	return ctx, Span{span}
}

// Send starts the span of a request to another system, within that of a traceparent. Inject hands it on.
func (t *Tracer) Send(ctx context.Context, parent, name string, attributes ...Attribute) (context.Context, Span) {
	remote := parse(parent)
	if t == nil || !remote.IsSampled() {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, remote), name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, Span{span}
}

// Step is a part of finished work.
type Step struct {
	Name       string
	Begun, End time.Time
}

// Record makes the span of finished work, with its steps, within that of a traceparent. failed marks it as an error.
func (t *Tracer) Record(ctx context.Context, parent string, work Step, steps []Step, failed bool, attributes ...Attribute) {
	remote := parse(parent) //nolint:contextcheck // it is parsed into a context of its own
	if t == nil || !remote.IsSampled() {
		return
	}
	ctx, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, remote), work.Name,
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(work.Begun), trace.WithAttributes(attributes...))
	for _, s := range steps {
		_, child := t.tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Begun))
		child.End(trace.WithTimestamp(s.End))
	}
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(work.End))
}

// End ends the span; failed marks it as an error.
func (s Span) End(failed bool, attributes ...Attribute) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attributes...)
	if failed {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Parent returns the traceparent of the span in ctx; empty if there is none, or it is not sampled.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// TraceID returns the id of a traceparent's trace; empty if it is not valid or not sampled.
func TraceID(parent string) string {
	if c := parse(parent); c.IsSampled() {
		return c.TraceID().String()
	}
	return ""
}

// Inject hands the span in ctx on to the receiver of a request, unless the request names another.
func Inject(ctx context.Context, header http.Header) {
	if parent := Parent(ctx); parent != "" && header.Get(Header) == "" {
		header.Set(Header, parent)
	}
}

// parse returns the context of a traceparent; an invalid one if there is none.
func parse(parent string) trace.SpanContext {
	if parent == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
	return trace.SpanContextFromContext(ctx)
}
