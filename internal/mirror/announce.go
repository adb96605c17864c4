package mirror

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5/pgconn"
)

const notifyChanges = `SELECT pg_notify('capydb_auth_changes', $1::bigint::text)`

// announce notifies whoever listens to the feed if the mirror has changes that this process has not announced. Only
// flush calls it, so one call at a time.
//
// It is a transaction of its own, which writes nothing and so waits for no disk. PostgreSQL commits transactions that
// notify one after another, whichever database of the server they are in: in the transaction of the events each would
// hold up the others for the time of a flush.
//
// It comes before the caller knows that the events are applied. If the process dies in between, they are applied again,
// and the first call of a process announces whatever there is. So a notification may come twice, but none is lost. An
// error means that it can be sent later. If the server refuses it (its queue is full, because a listener reads nothing),
// that is no reason to apply nothing: the next call announces more.
func (t *tenant) announce(ctx context.Context) error {
	newest := t.progress.get().ChangeID
	if newest == t.announced {
		return nil
	}
	ctx, cancel := t.db.Bound(ctx)
	defer cancel()
	_, err := t.pool.Exec(ctx, notifyChanges, newest)
	if refusal, is := errors.AsType[*pgconn.PgError](err); is && refusal.SeverityUnlocalized == "ERROR" && !contends(err) {
		t.config.Log.WarnContext(ctx, "changes_not_announced", slog.String("project_id", t.projectID.String()),
			slog.String("sqlstate", refusal.Code), slog.Any("error", err))
		return nil
	}
	if err != nil {
		return err
	}
	t.announced = newest
	return nil
}
