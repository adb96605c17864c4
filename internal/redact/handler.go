package redact

import (
	"context"
	"log/slog"
)

// Handler hands records on with every error as Text gives it.
func Handler(next slog.Handler) slog.Handler {
	if _, done := next.(handler); done {
		return next
	}
	return handler{next}
}

type handler struct{ next slog.Handler }

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.next.WithAttrs(all(attrs))}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.next.WithGroup(name)} }

func all(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = attr(a)
	}
	return clean
}

func attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(all(value.Group())...)}
	case slog.KindAny:
		if err, ok := value.Any().(error); ok {
			return slog.String(a.Key, Text(err))
		}
	case slog.KindString:
		switch a.Key {
		case "error", "err", "reason", "panic_val": // libraries log their errors as text
			return slog.String(a.Key, shorten(Line(value.String())))
		}
	default: // no text
	}
	return slog.Attr{Key: a.Key, Value: value}
}
