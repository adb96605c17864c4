package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/project"
)

const (
	// recentFor is how long an answer for probes is remembered, so that they cost the database little, however many come.
	recentFor = 10 * time.Second
	// lookTime bounds one such look.
	lookTime = time.Second
)

// recent remembers the last answer of a look for recentFor. Errors are not remembered. One caller looks at a time.
type recent[T any] struct {
	look func(ctx context.Context) (T, error)

	turn  chan struct{} // of size 1: holds what follows
	value T
	at    time.Time // zero: nothing is known
}

func newRecent[T any](look func(ctx context.Context) (T, error)) *recent[T] {
	return &recent[T]{look: look, turn: make(chan struct{}, 1)}
}

func (r *recent[T]) get(ctx context.Context) (value T, err error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
	defer func() { <-r.turn }()
	if !r.at.IsZero() && time.Since(r.at) < recentFor {
		return r.value, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, errors.New("the control database did not answer in time"))
	defer cancel()
	if value, err = r.look(ctx); err == nil {
		r.value, r.at = value, time.Now()
	}
	return value, err
}

// keys is whether the encryption keys of this process fit what is stored.
type keys struct {
	fit     *recent[project.Fit]
	own     []string // the ids of this process's keys
	log     *slog.Logger
	unfit   atomic.Bool
	refused atomic.Int64 // times that no jobs were taken
}

// check is the part encryption_key. It fails if most of what is stored cannot be opened here: another process may have the key.
// Less is only said, because all processes may lack the key of a row that a stray one has written.
func (k *keys) check(ctx context.Context) error {
	fit, err := k.fit.get(ctx)
	if err != nil {
		k.log.WarnContext(ctx, "encryption_key_not_compared", slog.Any("error", err))
		return errors.New("cannot be compared with the control database; the log of this process has the reason")
	}
	n := int64(len(fit.Missing))
	if n == 0 {
		return nil
	}
	lacks := fmt.Errorf("AUTHSYNC_ENCRYPTION_KEY lacks the %s %s, which sealed %d of %d values in the control database, and has %s: "+
		"add it behind the first one and a comma, or enter anew what it sealed", plural.Word(n, "key", "keys"), strings.Join(fit.Missing, ", "),
		fit.Closed, fit.Opened+fit.Closed, strings.Join(k.own, ", "))
	if fit.Closed <= fit.Opened {
		return &remark{lacks}
	}
	return lacks
}

// mayTake is false if this process can open nothing of what is stored: it would take the jobs of those that can.
func (k *keys) mayTake(ctx context.Context) bool {
	fit, err := k.fit.get(ctx)
	if err != nil {
		return true // the jobs themselves will tell
	}
	if k.unfit.Swap(fit.OpensNothing()) != fit.OpensNothing() {
		if !fit.OpensNothing() {
			k.log.InfoContext(ctx, "jobs_resumed")
		} else {
			k.log.ErrorContext(ctx, "jobs_refused", slog.String("reason", "nothing in the control database is sealed with a key of this process"),
				slog.Any("missing_keys", fit.Missing))
		}
	}
	if fit.OpensNothing() {
		k.refused.Add(1)
	}
	return !fit.OpensNothing()
}

// The oldest row of each project: what is waiting may be millions.
const selectLag = `
	SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - min(o.received_from)), 0), 0)::double precision
	FROM authsync.projects AS p
	CROSS JOIN LATERAL (
		SELECT n.received_from FROM authsync.inbox_pending AS n WHERE n.project_id = p.id ORDER BY n.id LIMIT 1
	) AS o`

// lagOf returns how many seconds the message that has waited longest has waited to be applied.
func lagOf(pool *pgxpool.Pool) func(ctx context.Context) (float64, error) {
	return func(ctx context.Context) (seconds float64, err error) {
		err = pool.QueryRow(ctx, selectLag).Scan(&seconds)
		return seconds, err
	}
}

// jobsPart is whether River looks for jobs in this process.
func jobsPart(working func(now time.Time) error, log *slog.Logger) part {
	return part{"jobs", func(ctx context.Context) error {
		if err := working(time.Now()); err != nil {
			log.WarnContext(ctx, "jobs_not_looked_for", slog.Any("error", err))
			return errors.New("are not looked for; the log of this process has the reason")
		}
		return nil
	}}
}
