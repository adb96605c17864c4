package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/pgdb"
)

// Pruner deletes messages and outcomes past their retention, a partition at a time:
//
//	no project keeps the day             ─▶ drop it
//	most of its messages are kept        ─▶ delete the others in batches
//	few of its messages are kept         ─▶ copy them, put the copy in place of the day
//
// So the cost is that of the smaller part, whatever projects set: a row is copied only if at least as many are dropped with it. A
// project keeps a day whole while something of it there is not finished. If the process dies, the next call goes on:
// nothing is deleted before the transaction that puts a complete copy in place.
type Pruner struct {
	Pool *pgxpool.Pool // the control database
	Log  *slog.Logger  // nil means none
	// Default is how long messages of projects without a setting are kept; 0 means forever.
	Default time.Duration
	// Batch is the number of messages per transaction; 0 means 1000.
	Batch int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait pauses between batches and attempts; nil means by the clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Step is called after each transaction; nil means nothing. Tests end a run there.
	Step func(step string) error
}

// The steps of a run.
const (
	StepBegun    = "begun"
	StepCopied   = "copied"
	StepFollowed = "followed"
	StepFinished = "finished"
	StepDeleted  = "deleted"
	StepDropped  = "dropped"
)

const (
	pruneBatch = 1000
	// lockAttempts times lockPause is how long a run tries to get a lock for which nothing may wait for long.
	lockAttempts = 20
	lockPause    = 500 * time.Millisecond
	// rounds bounds how often a rewrite starts over because projects change their settings meanwhile.
	rounds = 5
)

// partition is a row of authsync.inbox_retention.
type partition struct {
	Suffix          string
	FromDay, ToDay  time.Time
	Expired, Kept   []uuid.UUID
	ExpiredMessages int64
	KeptMessages    int64
}

const selectRetention = `
	SELECT suffix, from_day, to_day, expired, kept, expired_messages, kept_messages
	FROM authsync.inbox_retention($1, $2)`

// Prune deletes what is past its retention. It goes on with the other partitions if it fails at one. Several processes
// may call it at the same time.
func (p Pruner) Prune(ctx context.Context) error {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.Batch == 0 {
		p.Batch = pruneBatch
	}
	if p.Wait == nil {
		p.Wait = pause.For
	}
	if p.Step == nil {
		p.Step = func(string) error { return nil }
	}
	// Of the same time throughout, so that a day is not treated by two rules.
	now := p.Now()
	rows, err := p.Pool.Query(ctx, selectRetention, now, p.keep())
	if err != nil {
		return fmt.Errorf("find days past their retention: %w", err)
	}
	partitions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find days past their retention: %w", err)
	}
	errs := []error{p.abandon(ctx, partitions)}
	for _, one := range partitions {
		if ctx.Err() != nil {
			break
		}
		if err := p.prune(ctx, one, now); err != nil && !isGone(err) {
			errs = append(errs, fmt.Errorf("prune messages of %s: %w", one.FromDay.Format(time.DateOnly), err))
		}
	}
	return errors.Join(errs...)
}

// isGone reports that another process has dropped or replaced a partition meanwhile: it does the work.
func isGone(err error) bool { return pgdb.Code(err) == pgerrcode.UndefinedTable }

// keep is p_default of the SQL functions.
func (p *Pruner) keep() *time.Duration {
	if p.Default <= 0 {
		return nil
	}
	return &p.Default
}

func (p *Pruner) prune(ctx context.Context, one partition, now time.Time) error {
	switch {
	case len(one.Kept) == 0:
		return p.drop(ctx, one, now)
	case p.rewrites(one):
		return p.rewrite(ctx, one, now)
	}
	for _, project := range one.Expired {
		if err := p.deleteRows(ctx, one, project, now); err != nil {
			return err
		}
	}
	return nil
}

// rewrites says that copying what is kept costs less than deleting the rest.
func (p *Pruner) rewrites(one partition) bool {
	return len(one.Kept) > 0 && one.ExpiredMessages >= max(one.KeptMessages, int64(p.Batch))
}

func (p *Pruner) drop(ctx context.Context, one partition, now time.Time) error {
	dropped, err := p.locked(ctx, `SELECT authsync.drop_inbox_partition($1, $2, $3)`, one.Suffix, now, p.keep())
	if err != nil || !dropped {
		return err
	}
	p.Log.InfoContext(ctx, "inbox_day_dropped", one.attributes()...)
	return p.Step(StepDropped)
}

func (p *Pruner) deleteRows(ctx context.Context, one partition, project uuid.UUID, now time.Time) error {
	return p.batches(ctx, StepDeleted, `SELECT authsync.prune_inbox_rows($1, $2, $3, $4, $5)`, one.Suffix, project, now, p.keep(), p.Batch)
}

// rewrite replaces a partition by one with the rows that are kept. It goes on where an earlier run ended.
func (p *Pruner) rewrite(ctx context.Context, one partition, now time.Time) error {
	for range rounds {
		_, err := p.Pool.Exec(ctx, `SELECT authsync.begin_inbox_rewrite($1, $2, $3, $4)`, one.Suffix, one.FromDay, one.ToDay, one.Kept)
		if err == nil {
			err = p.Step(StepBegun)
		}
		if err != nil {
			return err
		}
		for _, project := range one.Kept {
			if err := p.batches(ctx, StepCopied, `SELECT authsync.copy_inbox_rows($1, $2, $3)`, one.Suffix, project, p.Batch); err != nil {
				return err
			}
		}
		if err := p.batches(ctx, StepFollowed, `SELECT authsync.follow_inbox_rewrite($1, $2)`, one.Suffix, p.Batch); err != nil {
			return err
		}
		// The copy's first statistics are its last ones as long as nothing changes in it.
		if _, err := p.Pool.Exec(ctx, "ANALYZE "+pgx.Identifier{"authsync", "inbox_" + one.Suffix + "_kept"}.Sanitize()+
			", "+pgx.Identifier{"authsync", "event_outcomes_" + one.Suffix + "_kept"}.Sanitize()); err != nil {
			return err
		}
		done, err := p.locked(ctx, `SELECT authsync.finish_inbox_rewrite($1, $2, $3)`, one.Suffix, now, p.keep())
		if err != nil {
			return err
		}
		if done {
			p.Log.InfoContext(ctx, "inbox_day_rewritten", one.attributes()...)
			return p.Step(StepFinished)
		}
		again, err := p.again(ctx, one.Suffix, now)
		if err != nil || again == nil || len(again.Kept) == 0 {
			return err // by now there is nothing to rewrite: the next run sees what to do
		}
		one = *again
	}
	return nil // projects keep changing their settings; the next run goes on
}

// again reads a partition's state anew; nil: nothing of it is past its retention any more.
func (p *Pruner) again(ctx context.Context, suffix string, now time.Time) (*partition, error) {
	rows, err := p.Pool.Query(ctx, selectRetention+` WHERE suffix = $3`, now, p.keep(), suffix)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// abandon removes what is left of rewrites of days that are not to be rewritten any more, because settings have changed.
func (p *Pruner) abandon(ctx context.Context, partitions []partition) error {
	rewritten := []string{}
	for _, one := range partitions {
		if p.rewrites(one) {
			rewritten = append(rewritten, one.Suffix)
		}
	}
	const left = `
		SELECT authsync.abandon_inbox_rewrite(r.suffix)
		FROM (SELECT DISTINCT w.suffix FROM authsync.inbox_rewrites AS w WHERE w.suffix <> ALL ($1)) AS r`
	if _, err := p.Pool.Exec(ctx, left, rewritten); err != nil {
		return fmt.Errorf("abandon rewrites of the inbox: %w", err)
	}
	return nil
}

// batches calls a function until it returns 0. It pauses for as long as each call took, so that it takes half of one
// connection's time at most.
func (p *Pruner) batches(ctx context.Context, step, call string, args ...any) error {
	for {
		var n int64
		began := time.Now()
		if err := p.Pool.QueryRow(ctx, call, args...).Scan(&n); err != nil {
			return err
		}
		if err := p.Step(step); err != nil || n == 0 {
			return err
		}
		if err := p.Wait(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}

// locked calls a function that waits for locks only briefly, until it gets them.
func (p *Pruner) locked(ctx context.Context, call string, args ...any) (done bool, err error) {
	for range lockAttempts {
		err = p.Pool.QueryRow(ctx, call, args...).Scan(&done)
		if code := pgdb.Code(err); code != pgerrcode.LockNotAvailable && code != pgerrcode.DeadlockDetected {
			return done, err
		}
		if e := p.Wait(ctx, lockPause); e != nil {
			return false, e
		}
	}
	return false, err
}

// attributes are those of a line of the log.
func (one *partition) attributes() []any {
	return []any{
		slog.String("day", one.FromDay.Format(time.DateOnly)),
		slog.Int64("messages_dropped", one.ExpiredMessages), slog.Int64("messages_kept", one.KeptMessages),
	}
}
