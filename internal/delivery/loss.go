package delivery

import "time"

// clocksApart is the largest clock difference tolerated.
const clocksApart = 5 * time.Minute

// Loss is what the mirror last lost, for a destination; the zero value: nothing since the destination was
// created. Its fields are the columns of LossColumns.
type Loss struct {
	LostTo     *int64 // repaired changes have greater ids
	FoundAt    *time.Time
	ReplayedAt *time.Time // when the events had been replayed
	// PassedUntil is the time before which the destination had passed all changes; nil: it had passed all
	// there were.
	PassedUntil *time.Time
}

// endOfTime is later than all changes.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // read-only

// RepairedUntil is when the repair had made everything again that it makes from messages: a change from before then may be one of that. The
// mirror has lost something.
func (l *Loss) RepairedUntil() time.Time {
	if l.ReplayedAt == nil {
		return endOfTime
	}
	return l.ReplayedAt.Add(clocksApart)
}

// IsAmid reports whether the repair is still to make changes again from messages.
func (l *Loss) IsAmid() bool { return l.LostTo != nil && l.ReplayedAt == nil }

// LossColumns and LossJoin add a Loss to a SELECT from authsync.destinations AS d and
// authsync.destination_progress AS f.
const (
	LossColumns = `r.lost_change_id AS lost_to, r.found_at, r.replayed_at, nullif(f.passed_until, 'infinity') AS passed_until`
	LossJoin    = `
	LEFT JOIN LATERAL (
		SELECT m.lost_change_id, m.found_at, m.replayed_at
		FROM authsync.mirror_repairs AS m
		WHERE m.project_id = d.project_id AND m.found_at > d.created_at
		ORDER BY m.id DESC
		LIMIT 1
	) AS r ON true`
)
