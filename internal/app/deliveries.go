package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/relay"
	"github.com/authsync/authsync/internal/delivery/sender"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/destination/registry"
)

// startDeliveries creates what sends changes to destinations, for the workers and, with separate connections and caches,
// for the API.
func (a *App) startDeliveries(context.Context) (stopFunc, error) {
	client := a.guard.Client(0) // each type bounds its own attempts
	log := a.log.With(slog.String("part", "deliveries"))
	metrics := delivery.NewMetrics(a.metrics.registry)
	shared := func(pool *pgxpool.Pool, metrics *delivery.Metrics) (*destcache.Cache, *subscription.Filters, error) {
		destinations, err := destcache.New(destcache.Config{
			Pool: pool, Open: a.openDestination, Type: registry.Lookup, Client: client, CheckURL: a.guard.CheckURL, Log: log,
		})
		if err != nil {
			return nil, nil, err
		}
		filters, err := subscription.New(subscription.Config{
			New: func(eventTypes, fields []string, condition *string) (subscription.Filter, error) {
				return filter.Compile(eventTypes, fields, condition)
			},
			Metrics: metrics, Log: log,
		})
		return destinations, filters, err
	}
	destinations, filters, err := shared(a.pool, metrics)
	theirs, theirFilters, err2 := shared(a.people, nil)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	a.relay, err = relay.New(relay.Config{Pool: a.pool, Feed: a.mirrors, Filters: filters, Log: log})
	if err != nil {
		return nil, err
	}
	a.sender, err = sender.New(sender.Config{Pool: a.pool, Feed: a.mirrors, Destinations: destinations, Metrics: metrics, Log: log, Tracer: a.tracer})
	if err != nil {
		return nil, err
	}
	a.deliveries, err = admin.New(admin.Config{Pool: a.people, Feed: a.mirrors, Destinations: theirs, Filters: theirFilters, Log: log})
	return func(context.Context) error { client.CloseIdleConnections(); return nil }, err
}

func (a *App) openDestination(ctx context.Context, id uuid.UUID) (destcache.Opened, error) {
	d, config, err := a.stored.OpenDestination(ctx, id)
	if err != nil {
		return destcache.Opened{}, err
	}
	return destcache.Opened{Type: d.Type, Config: config}, nil
}
