package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/delivery/upkeep"
	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/sync/prune"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/watch/probe"
)

// hardStop is how long jobs that did not finish in time get to handle their cancellation.
const hardStop = 5 * time.Second

func (a *App) startWorkers(ctx context.Context) (stopFunc, error) {
	if !a.settings.Roles.Worker {
		return nil, nil
	}
	applies := apply.Config{
		Pool: a.pool, Inbox: a.inbox, Directory: a.directory, Databases: a.databases, Mirrors: a.mirrors, Refreshes: a.refreshes,
		Log: a.log, FailuresOnly: a.settings.LogOutcomes == config.FailedOutcomes, Retention: a.settings.InboxRetention, OthersActive: a.sender.OthersActive, Erased: a.mirrors.Erased,
		Metrics: apply.NewMetrics(a.metrics.registry), Tracer: a.tracer,
	}
	repairs := repair.Config{
		Pool: a.pool, Inbox: a.inbox, Mirrors: a.mirrors, Providers: a.providers, Start: a.backfills.Start, Log: a.log.With(slog.String("part", "repair")),
		Erasures: &erasure.Store{Pool: a.pool, Vault: a.stored, Now: time.Now},
	}
	erasures := erasure.Config{Pool: a.pool, Vault: a.stored, Mirrors: a.mirrors, Log: a.log.With(slog.String("part", "erasure")), SettleAfter: a.settles}
	keeps := upkeep.Config{Pool: a.pool, Retention: a.settings.DeliveriesRetention, Log: a.log.With(slog.String("part", "deliveries"))}
	prunes := prune.Config{Pool: a.pool, Mirrors: a.mirrors, Retention: a.settings.Retention(), Log: a.log.With(slog.String("part", "retention"))}
	clones := clone.Config{Pool: a.pool, Mirrors: a.mirrors, Log: a.log.With(slog.String("part", "clone"))}
	probes := probe.Config{
		Pool: a.pool, DatabaseURL: a.stored.DatabaseURL, Tenants: a.tenants, Accounts: a.accounts, Start: a.backfills.Start, Latest: a.backfills.Latest,
		Log: a.log.With(slog.String("part", "watch")),
	}
	pooled, err := a.isPooled(ctx)
	if err != nil {
		return nil, err
	}
	client, err := jobs.New(jobs.Config{
		Pool: a.pool, Log: a.log, Retention: a.settings.InboxRetention, PollOnly: pooled,
		Workers: []jobs.Register{
			apply.Register(applies, a.settings.Workers), a.readingWorkers, a.relay.Register, a.sender.Register, upkeep.Register(keeps),
			repair.Register(repairs), erasure.Register(erasures), clone.Register(clones), a.webhooks.Register, probe.Register(probes),
			prune.Register(prunes),
		},
		Periodic: slices.Concat(
			apply.Periodic(), syncrun.Periodic(), upkeep.Periodic(), repair.Periodic(), provision.Periodic(), clone.Periodic(), probe.Periodic(), prune.Periodic(),
		),
		Hooks:   []rivertype.Hook{a.sender.Hook()},
		MayTake: a.keys.mayTake,
	})
	if err != nil {
		return nil, err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	a.health.parts = append(a.health.parts, jobsPart(client.Working, a.log))
	return func(ctx context.Context) error {
		err := client.Stop(ctx)
		if err == nil {
			return nil
		}
		// A cancelled job runs again, here or elsewhere.
		a.log.WarnContext(ctx, "jobs_cut_off", slog.Any("error", err))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hardStop)
		defer cancel()
		return client.StopAndCancel(ctx)
	}, nil
}

// isPooled reports whether a pooler is in front of the control database, and logs it.
func (a *App) isPooled(ctx context.Context) (pooled bool, err error) {
	err = a.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		pooled = pgdb.Pooled(conn.Conn())
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("DATABASE_URL: %s", pgdb.Describe(err))
	}
	if pooled {
		a.log.InfoContext(ctx, "database_is_behind_a_pooler", slog.String("consequence", "new jobs are looked for, as no notification can come"))
	}
	return pooled, nil
}
