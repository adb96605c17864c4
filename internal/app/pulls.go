package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/pull"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// startPulls starts pulling the events of integrations with option pull.
func (a *App) startPulls(ctx context.Context) (stopFunc, error) {
	if !a.settings.Roles.Worker {
		return nil, nil
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	counter := a.usage
	if counter == nil { // without the role receiver, whose it is otherwise
		counter = usage.New(a.pool, a.log, a.settings.ProjectQuotaBytes)
		if err := counter.Load(ctx); err != nil {
			cancel()
			return nil, err
		}
		ended.Go(func() { counter.Run(run) })
	}
	// HTTP/1.1, so that what a connection that is not read holds is a socket's buffer: a stream of
	// HTTP/2 takes up to 4 MB.
	transport := a.guard.Transport()
	transport.ForceAttemptHTTP2 = false
	puller, err := pull.New(pull.Config{
		Pool: a.pool, Directory: a.directory, Inbox: a.inbox, Log: a.log.With(slog.String("part", "pull")),
		Open: a.eventsBy(userapi.Deps{Transport: transport, Limits: a.limits}), Reconcile: a.reconcileAfterLoss,
		Usage: counter, Connections: a.settings.PullConnections, Registry: a.metrics.registry,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	ended.Go(func() { puller.Run(run) })
	return func(context.Context) error {
		cancel()
		ended.Wait()
		transport.CloseIdleConnections()
		return nil
	}, nil
}

// eventsBy opens the events of integrations with their stored credentials.
func (a *App) eventsBy(deps userapi.Deps) func(ctx context.Context, projectID uuid.UUID, name string) (userapi.EventSource, error) {
	return func(ctx context.Context, projectID uuid.UUID, name string) (userapi.EventSource, error) {
		kind, err := registry.Lookup(name)
		if err != nil {
			return nil, fault.New(fault.Unsupported, err.Error())
		}
		sourcer, pulls := kind.(userapi.EventSourcer)
		if !pulls {
			return nil, fault.New(fault.Unsupported, "the events of "+provider.Title(name)+" cannot be pulled")
		}
		credentials, options, err := a.stored.Credentials(ctx, projectID, name)
		if err != nil {
			return nil, err
		}
		of := deps
		of.SQL = func(databaseURL provider.Secret, tables provider.UserTables) (userapi.Source, error) {
			return a.tables(ctx, projectID, databaseURL, tables)
		}
		return sourcer.NewEventSource(credentials, options, of)
	}
}

// PreparePull creates in the customer's database what pulling from there needs.
func (a *App) PreparePull(ctx context.Context, projectID uuid.UUID, name string) error {
	return a.withPreparer(ctx, projectID, name, userapi.EventPreparer.Prepare)
}

// OpenPullRemoval prepares removing it, with the credentials that are stored now.
func (a *App) OpenPullRemoval(ctx context.Context, projectID uuid.UUID, name string) (remove func(context.Context) error, err error) {
	source, err := a.eventsBy(userapi.Deps{Limits: a.limits})(ctx, projectID, name)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer closeSource(source)
		if preparer, is := source.(userapi.EventPreparer); is {
			return preparer.Remove(ctx)
		}
		return nil
	}, nil
}

func (a *App) withPreparer(ctx context.Context, projectID uuid.UUID, name string, do func(userapi.EventPreparer, context.Context) error) error {
	source, err := a.eventsBy(userapi.Deps{Limits: a.limits})(ctx, projectID, name)
	if err != nil {
		return err
	}
	defer closeSource(source)
	if preparer, is := source.(userapi.EventPreparer); is {
		return do(preparer, ctx)
	}
	return nil
}

func closeSource(source userapi.EventSource) {
	if closer, is := source.(io.Closer); is {
		_ = closer.Close() // it was only read from
	}
}

// reconcileAfterLoss starts a reconcile, where one is possible.
func (a *App) reconcileAfterLoss(ctx context.Context, projectID uuid.UUID, name string) error {
	_, err := a.backfills.Start(ctx, projectID, name, syncrun.Order{Kind: provider.KindReconcile})
	if fault.Is(err, fault.Unsupported) || errors.Is(err, project.ErrNoIntegration) || errors.Is(err, project.ErrNoProject) {
		return nil
	}
	return err
}
