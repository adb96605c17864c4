package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// maxActive is how many jobs of a project may be between reading their
	// deliveries and having their results: those that share the call under way,
	// and those that will share the next one.
	maxActive = 16
	// maxEntering is how long a job may wait for that.
	maxEntering = 10 * time.Second
	// returnGap spreads out the jobs that were sent away: however many there are,
	// they come back one by one, so that a backlog costs the same whatever its size.
	returnGap = 10 * time.Millisecond
)

// errTenantBusy is why a job is sent away whose project has its share of the workers.
var errTenantBusy = errors.New("other jobs of this project are waiting for its database already")

// Acquire asks for a place in the project's lane, before anything is read for
// the job. It waits for one, and returns what gives it back. A *DelayError says
// that the database is away, or that so many jobs of this project wait already
// that more of them would take the workers from other projects.
//
// A project may take as many workers as all projects together leave free: alone
// half of them, beside another a third, and so on. So there is always room for
// one that comes new, and none stands idle for a rule.
func (m *Mirrors) Acquire(ctx context.Context, projectID uuid.UUID) (leave func(), err error) {
	l, err := m.tenant(ctx, projectID)
	if err != nil {
		return nil, &DelayError{After: soon(), Err: err}
	}
	if err := l.ready(ctx); err != nil {
		return nil, err
	}
	if !m.slots.take(l) {
		return nil, &DelayError{After: l.turn(time.Time{}), Err: errTenantBusy}
	}
	timer := time.NewTimer(maxEntering)
	defer timer.Stop()
	select {
	case l.active <- struct{}{}:
	case <-timer.C:
		m.slots.give(l)
		return nil, &DelayError{After: l.turn(time.Time{}), Err: errTenantBusy}
	case <-ctx.Done():
		m.slots.give(l)
		return nil, &DelayError{After: busyDelay, Err: context.Cause(ctx)}
	}
	leave = func() {
		<-l.active
		m.slots.give(l)
	}
	if l.breaker.isOpen() { // it went away while we waited
		if err := l.ready(ctx); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

// Ready reports whether the project's database can be used, as far as is known: a *DelayError
// says that it is away. After a pause one caller finds out whether it is back, the others wait for that.
func (m *Mirrors) Ready(ctx context.Context, projectID uuid.UUID) error {
	l, err := m.tenant(ctx, projectID)
	if err != nil {
		return &DelayError{After: soon(), Err: err}
	}
	return l.ready(ctx)
}

func (l *tenant) ready(ctx context.Context) error {
	until, err := l.breaker.enter(ctx, l.pool.Ping)
	switch {
	case err == nil:
		return nil
	case until.IsZero(): // the caller's patience ended
		return &DelayError{After: busyDelay, Err: err}
	}
	return &DelayError{After: l.turn(until), Err: err}
}

// slots are the workers, shared by the lanes.
type slots struct {
	mu    sync.Mutex
	total int
	taken int
}

// take takes a place for the lane, if it has no more than are free.
func (p *slots) take(l *tenant) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.slots >= p.total-p.taken {
		return false
	}
	l.slots++
	p.taken++
	return true
}

func (p *slots) give(l *tenant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.slots--
	p.taken--
}

// turn gives a job that is sent away its time to come back: not before until,
// and after those that were sent away before it.
func (l *tenant) turn(until time.Time) time.Duration {
	l.turns.Lock()
	defer l.turns.Unlock()
	now := l.config.Now()
	for _, earliest := range []time.Time{now, until} {
		if l.next.Before(earliest) {
			l.next = earliest
		}
	}
	l.next = l.next.Add(returnGap)
	return l.next.Sub(now)
}
