package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
)

// tenant is one project's mirror: one call at a time.
type tenant struct {
	projectID uuid.UUID
	config    Config
	db        *tenantdb.DB
	pool      *pgxpool.Pool // of db: one call applies at a time, maxFeed read the feed; one connection is for people who read
	group     *batch.Group[[]*Event, []Result]
	installed atomic.Bool
	missing   atomic.Int64  // since when schema capydb_auth is not there, in nanoseconds; 0: it is
	feed      chan struct{} // holds one for each read of the feed; see queryAll
	// ownerUntil is until when the mirror counts as the project's, in nanoseconds.
	ownerUntil atomic.Int64
	// slowUntil is until when calls have less time, in nanoseconds; see limit.
	slowUntil atomic.Int64
	progress  known
	announced int64 // the greatest id of a change that listeners were notified of; see announce
}

func newTenant(config Config, db *tenantdb.DB) *tenant {
	t := &tenant{projectID: db.ProjectID(), config: config, db: db, pool: db.Pool(), feed: make(chan struct{}, maxFeed)}
	t.group = batch.New(batch.Config[[]*Event, []Result]{
		Flush:    t.flush,
		Size:     sizeOf,
		MaxItems: maxCallItems,
		MaxBytes: maxCallBytes,
	})
	return t
}

func sizeOf(events []*Event) int {
	size := 0
	for _, e := range events {
		size += e.size()
	}
	return size
}

// close ends the running call and tells the ledger how far the mirror is. The connections are closed afterwards.
func (t *tenant) close(ctx context.Context) error {
	err := t.group.Close(ctx)
	if t.progress.settle(true) {
		_, telling := t.ledger().Exchange(ctx, t.projectID, t.progress.get())
		err = errors.Join(err, telling)
	}
	return err
}

// cutOff reports that a connection broke or was ended in the middle of a call. The database may be available, so the call is
// repeated once, at once, on a new connection; the ledger knows what the first one did.
func (t *tenant) cutOff(err error) bool {
	var ledger *ledgerError
	if errors.As(err, &ledger) || unusable(err) || !t.db.Disconnected(err) {
		return false
	}
	t.progress.doubt()
	return true
}

// delay returns when to retry, and opens the breaker if the database is unavailable.
func (t *tenant) delay(ctx context.Context, err error) error {
	if code := pgdb.Code(err); code == CodeBusy || code == CodeLost || code == CodeErasuresUnknown || contends(err) {
		return tenantdb.Delay(err)
	}
	t.progress.doubt()
	if _, is := errors.AsType[*ledgerError](err); is || ctx.Err() != nil { // the process is being stopped, or it is the control database: this one is not the cause
		return tenantdb.Delay(err)
	}
	until := t.db.Failed(err)
	log := t.config.Log.With(slog.String("project_id", t.projectID.String()),
		slog.Time("next_try", until), slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
	if unusable(err) {
		log.WarnContext(ctx, "mirror_unusable")
	} else {
		log.WarnContext(ctx, "project_database_unavailable")
	}
	return t.db.DelayUntil(until, err)
}
