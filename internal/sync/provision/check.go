package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
)

const (
	// checkEvery is how often blocked webhooks are tried again, and those found that lead to an earlier URL.
	checkEvery = time.Hour
	// compareEvery is how often a webhook is compared with what it should be. Each comparison is a call of the
	// provider's API.
	compareEvery = 6 * time.Hour
	// checkAtOnce limits the jobs that one check requests.
	checkAtOnce = 1000
)

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(checkEvery, checkArgs{})}
}

// checkArgs are the arguments of check_webhooks.
type checkArgs struct{}

func (checkArgs) Kind() string { return "check_webhooks" }

// InsertOpts allows few attempts: the next job comes in an hour anyway.
func (checkArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

type checkWorker struct {
	river.WorkerDefaults[checkArgs]
	*Webhooks
}

// Timeout is that of all jobs.
func (w *checkWorker) Timeout(*river.Job[checkArgs]) time.Duration { return jobs.Timeout }

// An integration that has the option and no row was stored by other means; it gets one.
const selectDue = `
	SELECT i.project_id, i.provider,
	       w.state IS NULL OR w.state = 'blocked' AND w.updated_at < clock_timestamp() - $3::double precision * interval '1 second'
	           OR $2 <> '' AND w.url IS NOT NULL AND NOT starts_with(w.url, $2) AS is_anew
	FROM authsync.integrations AS i
	LEFT JOIN authsync.provisioned_webhooks AS w ON w.project_id = i.project_id AND w.provider = i.provider
	WHERE i.options ->> 'provision' = 'true'
	  AND (w.state IS NULL OR w.state IN ('pending', 'testing')
	       OR w.state = 'blocked' AND w.updated_at < clock_timestamp() - $3::double precision * interval '1 second'
	       OR $2 <> '' AND w.url IS NOT NULL AND NOT starts_with(w.url, $2)
	       OR w.state = 'ready' AND coalesce(w.compared_at, '-infinity') < clock_timestamp() - $4::double precision * interval '1 second')
	ORDER BY i.project_id, i.provider
	LIMIT $1`

// due is an integration whose webhook needs a look; anew: from the beginning.
type due struct {
	project.ProvisionArgs

	IsAnew bool
}

// Work requests the jobs of webhooks that need one.
func (w *checkWorker) Work(ctx context.Context, _ *river.Job[checkArgs]) error {
	base := ""
	if w.config.Configured {
		base = strings.TrimRight(w.config.Base, "/") + "/"
	}
	rows, err := w.config.Pool.Query(ctx, selectDue, checkAtOnce, base, (checkEvery / 2).Seconds(), compareEvery.Seconds())
	if err != nil {
		return fmt.Errorf("find webhooks that are due: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[due])
	if err != nil {
		return fmt.Errorf("find webhooks that are due: %w", err)
	}
	var failed error
	for _, one := range all {
		err := pgdb.InTx(ctx, w.config.Pool, func(tx pgx.Tx) error {
			if one.IsAnew {
				return project.RequestWebhook(ctx, tx, one.ProjectID, one.Provider)
			}
			return jobs.Request(ctx, tx, one.ProvisionArgs, one.Subject())
		})
		failed = errors.Join(failed, err)
	}
	return failed
}
