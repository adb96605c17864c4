package inbox

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

const allEvents = "authsync.events AS e"

// sequence is in which sequence events are read.
type sequence bool

const (
	newestFirst sequence = false
	oldestFirst sequence = true
)

// of is the order of two aliases that have the columns inbox_id and ordinal.
func (s sequence) of(messages, events string) string {
	direction := ""
	if s == newestFirst {
		direction = " DESC"
	}
	return messages + ".inbox_id" + direction + ", " + events + ".ordinal" + direction
}

// from returns the source of the filtered events and the order in which it has them in that sequence: all events, read from
// the ends of indexes, or the few that another table lists. Otherwise the whole inbox would be read to find out that nothing
// failed. What is pending is listed elsewhere; see pendingPage.
//
// The order is in terms of the list, where there is one. In those of the events, the planner would sort all that it lists.
func (f *Filter) from(w *where, s sequence) (source, order string) {
	if f.isListed() {
		return listedEvents(f.Outcome, w, s)
	}
	return allEvents, s.of("e", "e")
}

// isListed reports whether an index of the outcomes lists the events, in order. All of them begin with what is asked for, or
// contain the project.
func (f *Filter) isListed() bool {
	if f.ProjectID == uuid.Nil {
		return f.EventID != ""
	}
	return f.EventID != "" || f.Type != "" || f.UserID != "" || f.RecordID != "" ||
		slices.Contains([]string{Stale, Duplicate, Ignored, Failed}, f.Outcome)
}

// listedEvents reads the events whose outcomes match. An outcome is a constant in the statement as well, so that the
// planner can use the partial index.
func listedEvents(outcome string, w *where, s sequence) (source, order string) {
	conditions := slices.Clone(w.outcomes)
	if outcome != "" && outcome != Applied {
		conditions = append(conditions, "o.outcome = '"+strings.ReplaceAll(outcome, "'", "''")+"'")
	}
	source = `(
		SELECT o.inbox_id, o.received_at, o.ordinal
		FROM authsync.event_outcomes AS o
		WHERE ` + allOf(conditions) + `
		ORDER BY ` + s.of("o", "o") + `
	) AS c
	CROSS JOIN LATERAL (
		SELECT v.*
		FROM authsync.events AS v
		WHERE v.inbox_id = c.inbox_id AND v.received_at = c.received_at AND v.ordinal = c.ordinal
		LIMIT 1
	) AS e`
	return source, s.of("c", "c")
}

func allOf(conditions []string) string {
	if len(conditions) == 0 {
		return "true"
	}
	return strings.Join(conditions, " AND ")
}
