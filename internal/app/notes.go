package app

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/ingest/usage"
)

// startNotes starts recording what the receiver rejects and how much it stores. The returned
// function writes the rest and stops it.
func (a *App) startNotes(ctx context.Context, pool *pgxpool.Pool) (stop func(), err error) {
	a.rejections = rejections.New(pool, a.log)
	a.usage = usage.New(pool, a.log, a.settings.ProjectQuotaBytes)
	if err := a.usage.Load(ctx); err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { a.rejections.Run(run) })
	ended.Go(func() { a.usage.Run(run) })
	return func() {
		cancel()
		ended.Wait()
	}, nil
}
