package mirror

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Clocks tell what an event about a record must be newer than to win over all
// that the mirror knows of the record.
type Clocks struct {
	RecordID       string
	OrganizationID *string // that a membership or an invitation belongs to; nil: unknown
	Provider       *string // nil: a placeholder
	// IsPlaceholder: no event about the record has arrived yet. IsDeleted: deleted_at is set.
	IsPlaceholder, IsDeleted bool
	// At and SentAt are the greatest version of the columns beside deleted_at, LifeAt and
	// LifeSentAt that of being there or deleted; nil: none.
	At, SentAt, LifeAt, LifeSentAt *time.Time
	// ReceivedAt is when the last event without a clock was received; nil: none.
	ReceivedAt *time.Time
}

// selectClocks has an argument for each column of the key.
func selectClocks(d record.Definition) string {
	args := "$1"
	if len(d.Key) > 1 {
		args = "$1, $2"
	}
	return `
	SELECT record_id, organization_id, provider, is_placeholder, is_deleted, at, sent_at, life_at, life_sent_at, received_at
	FROM capydb_auth.clocks_of_` + d.Table + `(` + args + `)`
}

// Clocks gives the clocks of those of the records of a type that the mirror has. Ask it
// before asking the provider: what the provider answers then knows of all events
// that were in the mirror at this time. The error is a *DelayError.
func (m *Mirrors) Clocks(ctx context.Context, projectID uuid.UUID, t record.Type, ids []string) (map[string]Clocks, error) {
	d, err := listedType(t)
	if err != nil {
		return nil, err
	}
	keys := make([][]string, len(d.Key))
	for _, id := range ids {
		key, ok := keyOf(d, id)
		if !ok {
			continue // the mirror cannot have it
		}
		for i, part := range key {
			text, _ := part.(string)
			keys[i] = append(keys[i], text)
		}
	}
	args := make([]any, len(keys))
	for i := range keys {
		args[i] = keys[i]
	}
	clocks := make(map[string]Clocks, len(ids))
	err = m.query(ctx, projectID, func(ctx context.Context, l *tenant) error {
		rows, err := l.pool.Query(ctx, selectClocks(d), args...)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Clocks])
		for _, c := range found {
			clocks[c.RecordID] = c
		}
		return err
	})
	return clocks, err
}

// IsNewerThan reports whether the mirror knows of something that happened after a time.
func (c Clocks) IsNewerThan(t time.Time) bool {
	return slices.ContainsFunc([]*time.Time{c.At, c.LifeAt, c.ReceivedAt}, func(known *time.Time) bool { return known != nil && known.After(t) })
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
// The error is a *tenantdb.DelayError if the database is unavailable, else that of do.
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
	if err = answered(bounded, do(bounded, l)); bounded.Err() == nil && l.cutOff(err) {
		err = answered(bounded, do(bounded, l))
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
