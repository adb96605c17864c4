package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

// log writes the line of an outcome: what happened to which event, and how long after its receipt. It has no reason, because a
// customer's trigger may put anything into one, and nothing about the user. Failed events always have their line, others unless
// FailuresOnly.
func (c *Config) log(ctx context.Context, o *inbox.Outcome, now time.Time) {
	level := slog.LevelInfo
	if o.Outcome == inbox.Failed {
		level = slog.LevelWarn
	} else if c.FailuresOnly {
		return
	}
	if !c.Log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 9)
	attrs = append(attrs,
		slog.String("project_id", o.ProjectID.String()), slog.String("provider", o.Provider), slog.Int64("inbox_id", o.InboxID),
		slog.Int("ordinal", o.Ordinal), slog.String("event_id", anonymous(o)), slog.String("event_type", short(o.Type)),
		slog.String("outcome", o.Outcome), slog.Duration("latency", now.Sub(o.ReceivedAt)))
	if id, is := traceID(o.TraceParent); is {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	switch o.Outcome {
	case inbox.Failed:
		c.Log.LogAttrs(ctx, level, "event_failed", attrs...)
	case inbox.Applied:
		c.Log.LogAttrs(ctx, level, "event_applied", attrs...)
	case inbox.Pending:
		c.Log.LogAttrs(ctx, level, "event_pending", attrs...) // it is retried, and has another line then
	case inbox.Stale:
		c.Log.LogAttrs(ctx, level, "event_stale", attrs...)
	case inbox.Duplicate:
		c.Log.LogAttrs(ctx, level, "event_duplicate", attrs...)
	default:
		c.Log.LogAttrs(ctx, level, "event_ignored", attrs...)
	}
}

// maxEventID bounds what a sender chose, in bytes.
const maxEventID = 128

// anonymous is the id of an event as far as it names nobody: one that contains the id of its record, or an e-mail address, as
// one that a tenant's mapping makes up may, is a digest, by which the lines of the same event are still found.
func anonymous(o *inbox.Outcome) string {
	id := o.EventID
	if names(id, o.UserID) || names(id, o.RecordID) || strings.Contains(id, "@") || len(id) > maxEventID {
		sum := sha256.Sum256([]byte(id))
		return "sha256:" + hex.EncodeToString(sum[:16])
	}
	return strings.ToValidUTF8(id, "")
}

func names(id, record string) bool { return record != "" && strings.Contains(id, record) }

// traceID is the second part of a traceparent (W3C Trace Context).
func traceID(traceParent string) (string, bool) {
	const begin, end = 3, 35
	if len(traceParent) <= end || traceParent[end] != '-' {
		return "", false
	}
	return traceParent[begin:end], true
}
