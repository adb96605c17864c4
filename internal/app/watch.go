package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
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
	targets, err := alertTargets(&a.settings)
	if err != nil {
		pool.Close()
		return nil, err
	}
	client := egress.New(egress.Config{Allow: a.settings.AllowAlertTargets, Setting: config.AlertTargetsSetting}).Client(0)
	w := watch.New(watch.Config{
		Pool: pool, Targets: targets, Client: client, Log: a.log.With(slog.String("part", "watch")), SizeLimit: a.settings.DatabaseLimitBytes, Counted: a.metrics.countProblems, Every: a.watchEvery,
	})
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended sync.WaitGroup
	ended.Go(func() { w.Run(run) })
	return func(context.Context) error {
		cancel()
		ended.Wait()
		client.CloseIdleConnections()
		pool.Close()
		return nil
	}, nil
}

// alertTargets returns the operator's webhooks.
func alertTargets(c *config.Config) (targets []watch.Target, err error) {
	urls := config.SplitURLs(c.AlertURLs)
	if len(urls) > 0 && c.AlertSecret == "" {
		return nil, errors.New("AUTHSYNC_ALERT_URLS needs AUTHSYNC_ALERT_SECRET, which signs the calls: whsec_ and the output of openssl rand -base64 32")
	}
	for _, url := range urls {
		key, err := standardwebhooks.ParseSecret(c.AlertSecret.Reveal())
		if err != nil {
			return nil, fmt.Errorf("AUTHSYNC_ALERT_SECRET %w", err)
		}
		targets = append(targets, watch.Target{URL: url, Key: key})
	}
	for _, url := range config.SplitURLs(c.AlertSlackURLs) {
		targets = append(targets, watch.Target{URL: url, Slack: true})
	}
	return targets, nil
}
