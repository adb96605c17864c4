package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
)

// recreateAfter is how long schema capydb_auth may be missing before it is recreated. Whoever restores
// the database from a backup shall find it empty, not with empty tables that are in the way.
const recreateAfter = 2 * time.Minute

// installTimeout bounds one installation or upgrade.
const installTimeout = 20 * time.Second

// missingError means that a project's mirror is gone.
type missingError struct{ until time.Time }

func (e *missingError) Error() string {
	return fmt.Sprintf("the project's database has no mirror (schema capydb_auth): restore it from a backup; from %s on the next event makes it "+
		"anew, empty, and authsync integrations set does so at once; what the inbox has is applied again by itself then",
		e.until.UTC().Format(time.RFC3339))
}

// answered is the error of a call, and tenantdb.ErrNoAnswer too if its server did not answer in time: such a call is not repeated at once.
func answered(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), tenantdb.ErrNoAnswer) {
		return fmt.Errorf("%w: %w", tenantdb.ErrNoAnswer, err)
	}
	return err
}

// install brings the mirror up to date when the database is used for the first time, and again when a call has found the
// mirror damaged. It checks from time to time that the mirror is still the project's: another installation of authsync may
// have adopted it. It does not create a mirror that must have existed; see recreate.
func (t *tenant) install(ctx context.Context) error {
	return t.prepare(ctx, t.recreate)
}

// create is install for a caller that asks for the mirror to exist.
func (t *tenant) create(ctx context.Context) error {
	return t.prepare(ctx, func(context.Context) error { return nil })
}

func (t *tenant) prepare(ctx context.Context, mayCreate func(context.Context) error) error {
	installed, now := t.installed.Load(), t.config.Now()
	if installed && now.UnixNano() < t.ownerUntil.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, installTimeout, tenantdb.ErrNoAnswer)
	defer cancel()
	if !installed {
		if err := t.upgrade(ctx, mayCreate); err != nil {
			return &installError{answered(ctx, err)}
		}
	}
	if err := own(ctx, t.pool, t.projectID); err != nil {
		t.installed.Store(false) // perhaps it was dropped: the next call finds out
		return &installError{answered(ctx, err)}
	}
	t.ownerUntil.Store(now.Add(ownerLooks).UnixNano())
	t.installed.Store(true)
	return nil
}

func (t *tenant) upgrade(ctx context.Context, mayCreate func(context.Context) error) error {
	if err := mayBeOf(ctx, t.pool, t.projectID, false); err != nil {
		return err
	}
	state, err := schema.Inspect(ctx, t.pool, schema.Project)
	if err != nil {
		return err
	}
	if !state.Installed() {
		if err := mayCreate(ctx); err != nil {
			return err
		}
	}
	if state.UpToDate() {
		t.missing.Store(0)
		return nil
	}
	log := t.config.Log.With(slog.String("project_id", t.projectID.String()))
	if _, err := schema.Up(ctx, t.db.URL(), schema.Project, schema.Options{Tenants: t.config.Databases.Tenants(), Project: t.projectID, Logger: log}); err != nil {
		return err
	}
	if t.missing.Swap(0) != 0 && !state.Installed() {
		log.ErrorContext(ctx, "mirror_reinstalled", slog.String("next_step", "none: what the inbox has is applied again; authsync doctor says when that is done"))
		return nil
	}
	log.InfoContext(ctx, "mirror_installed")
	return nil
}

// recreate allows to create the schema once it has been missing for a while. The project has had its
// mirror: the call that created the project has put it there.
func (t *tenant) recreate(ctx context.Context) error {
	now := t.config.Now()
	if t.missing.CompareAndSwap(0, now.UnixNano()) {
		t.config.Log.ErrorContext(ctx, "mirror_missing", slog.String("project_id", t.projectID.String()))
	}
	until := time.Unix(0, t.missing.Load()).Add(recreateAfter)
	if now.Before(until) {
		return &missingError{until}
	}
	return nil
}

// damage gives the error of a call as one of the mirror, if the mirror is not as it was made: functions or
// tables were dropped or changed, the database was restored. Then the events
// are not its cause, and the next call installs what can be installed.
func (t *tenant) damage(ctx context.Context, err error) error {
	if pgdb.Code(err) == "" {
		return nil
	}
	state, inspectErr := schema.Inspect(ctx, t.pool, schema.Project)
	if inspectErr == nil && state.UpToDate() {
		return nil // a trigger of the customer's, or the event itself
	}
	t.installed.Store(false)
	return &installError{errors.Join(err, inspectErr)}
}

// installError marks an error of install: whatever it is, the events are not its cause.
type installError struct{ err error }

func (e *installError) Error() string { return "install the mirror: " + e.err.Error() }
func (e *installError) Unwrap() error { return e.err }

// unusable tells an error of the mirror from one of a database that is unavailable.
func unusable(err error) bool {
	_, is := errors.AsType[*installError](err)
	return is && !pgdb.Unavailable(err)
}
