package app

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/destination/selection"
	"github.com/authsync/authsync/internal/outbox"
)

// startOutbox makes what sends changes on, for the workers and for the API.
func (a *App) startOutbox(context.Context) (stopFunc, error) {
	client := a.guard.Client(0) // each kind bounds its own attempts
	settings := outbox.Config{
		Pool: a.pool, Feed: a.mirrors, Open: a.openDestination, Kind: registry.Lookup,
		Select: func(kinds, fields []string, condition *string) (outbox.Selection, error) {
			return selection.Compile(kinds, fields, condition)
		},
		Client: client, CheckURL: a.guard.CheckURL, Log: a.log.With(slog.String("part", "outbox")), Registry: a.metrics.registry,
		Retention: a.settings.InboxRetention,
	}
	var err error
	if a.outbox, err = outbox.New(settings); err == nil {
		settings.Pool, settings.Registry = a.people, nil
		a.outboxAdmin, err = outbox.New(settings)
	}
	return func(context.Context) error { client.CloseIdleConnections(); return nil }, err
}

func (a *App) openDestination(ctx context.Context, id uuid.UUID) (outbox.Opened, error) {
	d, config, err := a.stored.OpenDestination(ctx, id)
	if err != nil {
		return outbox.Opened{}, err
	}
	return outbox.Opened{Kind: d.Kind, Config: config}, nil
}
