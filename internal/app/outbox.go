package app

import (
	"context"
	"log/slog"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/registry"
)

// startOutbox creates what sends changes to destinations, for the workers and for the API.
func (a *App) startOutbox(context.Context) (stopFunc, error) {
	client := a.guard.Client(0) // each type bounds its own attempts
	settings := delivery.Config{
		Pool: a.pool, Feed: a.mirrors, Open: a.openDestination, Type: registry.Lookup,
		NewFilter: func(eventTypes, fields []string, condition *string) (delivery.Filter, error) {
			return filter.Compile(eventTypes, fields, condition)
		},
		Client: client, CheckURL: a.guard.CheckURL, Log: a.log.With(slog.String("part", "outbox")), Registry: a.metrics.registry,
		Retention: a.settings.InboxRetention,
	}
	var err error
	if a.outbox, err = delivery.New(settings); err == nil {
		settings.Pool, settings.Registry = a.people, nil
		a.outboxAdmin, err = delivery.New(settings)
	}
	return func(context.Context) error { client.CloseIdleConnections(); return nil }, err
}

func (a *App) openDestination(ctx context.Context, id uuid.UUID) (delivery.Opened, error) {
	d, config, err := a.stored.OpenDestination(ctx, id)
	if err != nil {
		return delivery.Opened{}, err
	}
	return delivery.Opened{Type: d.Type, Config: config}, nil
}
