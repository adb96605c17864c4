package mirror

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/tenantdb"
)

// Clocks tell what an event about a user must be newer than to win over all
// that the mirror knows of the user.
type Clocks struct {
	UserID   string
	Provider *string // nil: a placeholder
	// IsPlaceholder: no event about the user has arrived yet. IsDeleted: deleted_at is set.
	IsPlaceholder, IsDeleted bool
	// At and SentAt are the greatest version of the profile's columns, LifeAt and
	// LifeSentAt that of being there or deleted; nil: none.
	At, SentAt, LifeAt, LifeSentAt *time.Time
	// ReceivedAt is when the last event without a clock was received; nil: none.
	ReceivedAt *time.Time
}

const selectClocks = `
	SELECT user_id, provider, is_placeholder, is_deleted, at, sent_at, life_at, life_sent_at, received_at
	FROM capydb_auth.clocks_of_users($1)`

// Clocks gives the clocks of those of the users that the mirror has. Ask it
// before asking the provider: what the provider answers then knows of all events
// that were in the mirror at this time. The error is a *DelayError.
func (m *Mirrors) Clocks(ctx context.Context, projectID uuid.UUID, userIDs []string) (map[string]Clocks, error) {
	clocks := make(map[string]Clocks, len(userIDs))
	err := m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		rows, err := l.pool.Query(ctx, selectClocks, userIDs)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Clocks])
		for _, c := range found {
			clocks[c.UserID] = c
		}
		return err
	})
	return clocks, err
}

// Supersede gives the event a version that is greater than the clocks, where it is
// not by itself: what it says was read from the provider after the clocks were, so it
// is newer, whatever its own clocks say. Versions of a live event that came meanwhile
// stay greater, if they were.
func (c Clocks) Supersede(e *Event) {
	if c.ReceivedAt != nil && !e.ReceivedAt.After(*c.ReceivedAt) { // by the clock of another machine
		e.ReceivedAt = c.ReceivedAt.Add(time.Microsecond)
	}
	e.AtIsReceipt, e.DeletedClockIsReceipt = false, false
	life := e.DeletedClock
	if life.IsZero() {
		life = e.At
	}
	sent := e.SentAt
	if c.At != nil && !e.At.IsZero() && !e.At.After(*c.At) {
		e.At, sent = *c.At, later(sent, c.SentAt)
	}
	if c.LifeAt != nil && !life.After(*c.LifeAt) {
		life, sent = *c.LifeAt, later(sent, c.LifeSentAt)
	}
	e.SentAt = sent
	if !life.Equal(e.At) {
		e.DeletedClock = life
	}
}

// later gives the first time, or the one just behind the second if that is greater.
func later(t time.Time, than *time.Time) time.Time {
	if than == nil || t.After(*than) {
		return t
	}
	return than.Add(time.Microsecond)
}

// query runs statements on the project's database beside those that apply events.
// The error is a *tenantdb.DelayError if the database is away, else that of do.
func (m *Mirrors) query(ctx context.Context, projectID uuid.UUID, do func(context.Context, *tenant) error) error {
	l, err := m.tenant(ctx, projectID)
	if err != nil {
		return tenantdb.Delay(err)
	}
	if err := l.db.Ready(ctx); err != nil {
		return err
	}
	err = l.install(ctx)
	if ctx.Err() == nil && l.cutOff(err) {
		err = l.install(ctx)
	}
	if err != nil {
		return l.delay(ctx, err)
	}
	bounded, cancel := l.db.Bound(ctx)
	defer cancel()
	if err = do(bounded, l); bounded.Err() == nil && l.cutOff(err) {
		err = do(bounded, l)
	}
	if err != nil && !delayed(err) {
		if damage := l.damage(ctx, err); damage != nil {
			return l.delay(ctx, damage)
		}
	}
	if err != nil && delayed(err) {
		return l.delay(ctx, err)
	}
	l.db.Succeeded()
	return err
}
