package tenantdb

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// MaxActive is how many jobs of a project may have a slot at the same time: those that share the running call, and those
	// that will share the next one.
	MaxActive = 16
	// maxWait is how long a job may wait for that.
	maxWait = 10 * time.Second
)

// errBusy is why a job is turned away whose project has its share of the workers.
var errBusy = errors.New("other jobs of this project are waiting for its database already")

// Acquire takes one of the project's slots, before anything is read for the job. It waits for one, and returns the function that
// releases it. A *DelayError says that the database is unavailable, or that so many jobs of this project wait already that
// more of them would take the workers from other projects.
//
// A project may take as many workers as all projects together leave free: alone half of them, beside another a third, and so
// on. So a project that starts later always gets some, and no worker idles because of a fixed quota.
func (d *Databases) Acquire(ctx context.Context, projectID uuid.UUID) (release func(), err error) {
	db, err := d.Get(ctx, projectID)
	if err != nil {
		return nil, Delay(err)
	}
	if err := db.Ready(ctx); err != nil {
		return nil, err
	}
	if !d.slots.acquire(db) {
		return nil, db.DelayUntil(time.Time{}, errBusy)
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case db.active <- struct{}{}:
	case <-timer.C:
		d.slots.release(db)
		return nil, db.DelayUntil(time.Time{}, errBusy)
	case <-ctx.Done():
		d.slots.release(db)
		return nil, &DelayError{After: shortDelay, Err: context.Cause(ctx)}
	}
	release = func() {
		<-db.active
		d.slots.release(db)
	}
	if db.breaker.isOpen() { // it opened while we waited
		if err := db.Ready(ctx); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// Ready reports whether the project's database can be used, as far as is known: a *DelayError says that it is unavailable.
// After a pause one caller probes it, and the others wait for the result.
func (d *Databases) Ready(ctx context.Context, projectID uuid.UUID) error {
	db, err := d.Get(ctx, projectID)
	if err != nil {
		return Delay(err)
	}
	return db.Ready(ctx)
}

// Ready is Databases.Ready for this database.
func (db *DB) Ready(ctx context.Context) error {
	until, err := db.breaker.allow(ctx, db.pool.Ping)
	switch {
	case err == nil:
		return nil
	case until.IsZero(): // the caller stopped waiting
		return &DelayError{After: shortDelay, Err: err}
	}
	return db.DelayUntil(until, err)
}

// slots are the workers, shared by the databases.
type slots struct {
	mu    sync.Mutex
	total int
	taken int
}

// acquire takes a slot for the database, unless it has as many as are free.
func (s *slots) acquire(db *DB) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if db.taken >= s.total-s.taken {
		return false
	}
	db.taken++
	s.taken++
	return true
}

func (s *slots) release(db *DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	db.taken--
	s.taken--
}
