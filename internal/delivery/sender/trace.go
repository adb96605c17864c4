package sender

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tracing"
)

const selectTraceParents = `SELECT event_id, traceparent FROM authsync.trace_parents($1, $2)`

// joinTraces gives deliveries the traces of the messages that brought their changes. Without them, deliveries are sent all
// the same.
func (s *Sender) joinTraces(ctx context.Context, projectID uuid.UUID, all []outgoing) {
	if !s.config.Tracer.On() {
		return
	}
	ids := make([]string, 0, len(all))
	for i := range all {
		if !all[i].isGone {
			ids = append(ids, all[i].message.EventID)
		}
	}
	found, err := pgdb.Collect[struct{ EventID, Traceparent string }](ctx, s.config.Pool, selectTraceParents, projectID, ids)
	if err != nil {
		s.config.Log.WarnContext(ctx, "traces_not_found", slog.Any("error", err))
		return
	}
	parents := make(map[string]string, len(found))
	for _, f := range found {
		parents[f.EventID] = f.Traceparent
	}
	for i := range all {
		all[i].traceParent = parents[all[i].message.EventID]
	}
}

// traceSend starts the spans of a request with one or more deliveries. The destination gets the traceparent of a single one.
func (s *Sender) traceSend(ctx context.Context, to *destcache.Destination, chunk []outgoing) (_ context.Context, end func([]destination.Result)) {
	if !s.config.Tracer.On() {
		return ctx, func([]destination.Result) {}
	}
	spans := make([]tracing.Span, len(chunk))
	sending := ctx
	for i := range chunk {
		m := &chunk[i].message
		sending, spans[i] = s.config.Tracer.Send(ctx, chunk[i].traceParent, "deliver change",
			tracing.String("authsync.project_id", m.ProjectID.String()), tracing.String("authsync.destination_id", to.ID.String()),
			tracing.String("authsync.event_type", m.EventType), tracing.Int("authsync.delivery_id", chunk[i].ID),
			tracing.Int("authsync.attempt", m.Attempt))
	}
	if len(chunk) > 1 {
		sending = ctx
	}
	return sending, func(results []destination.Result) {
		for i, r := range results {
			spans[i].End(r.Outcome != destination.Delivered, tracing.Int("http.response.status_code", r.Status))
		}
	}
}
