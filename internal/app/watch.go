package app

import (
	"context"
	"log/slog"
	"sync"

	"github.com/authsync/authsync/internal/watch"
)

// watchConns are the connections of the evaluation of problems, which must not wait for others: one, so that it
// cannot take more either.
const watchConns = 1

// startWatch looks for problems in every process, whatever its roles, because a missing worker is one.
func (a *App) startWatch(ctx context.Context) (stopFunc, error) {
	pool, err := a.named(ctx, "watch", watchConns, watchSession())
	if err != nil {
		return nil, err
	}
	w := watch.New(watch.Config{
		Pool: pool, Log: a.log.With(slog.String("part", "watch")), SizeLimit: a.settings.DatabaseLimitBytes, Counted: a.metrics.countProblems,
	})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { w.Run(run) })
	return func(context.Context) error {
		cancel()
		ended.Wait()
		pool.Close()
		return nil
	}, nil
}
