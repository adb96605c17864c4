package inbox

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

const allEvents = "authsync.events AS e"

// from returns the source of the filtered events: all events, read newest first from the indexes,
// or the few that another table lists. Otherwise the whole inbox would be read to find out that
// nothing is pending or failed.
func (f *Filter) from(w *where) string {
	switch f.Outcome {
	case Pending:
		return pendingEvents(f.conditionsOn("n.project_id", w))
	case Stale, Duplicate, Ignored, Failed:
		if f.ProjectID == uuid.Nil { // the index begins with the project
			return allEvents
		}
		return outcomeEvents(f.Outcome, f.conditionsOn("o.project_id", w))
	default:
		return allEvents
	}
}

// conditionsOn repeats the project condition for another column, with the filter's argument.
func (f *Filter) conditionsOn(column string, w *where) string {
	for i, arg := range w.args {
		if id, is := arg.(uuid.UUID); is && id == f.ProjectID {
			return column + " = $" + strconv.Itoa(i+1)
		}
	}
	return "true"
}

// pendingEvents reads what is pending, all of which must be sorted, and then its newest messages.
func pendingEvents(project string) string {
	return `(
		SELECT n.inbox_id, min(n.received_from) AS received_from, max(n.received_to) AS received_to
		FROM (
			SELECT p.project_id, m.inbox_id, p.received_from, p.received_to
			FROM authsync.inbox_pending AS p
			CROSS JOIN LATERAL unnest(p.inbox_ids) AS m (inbox_id)
			UNION ALL
			SELECT o.project_id, o.inbox_id, o.received_at, o.received_at
			FROM authsync.event_outcomes AS o
			WHERE o.outcome = 'pending'
		) AS n
		WHERE ` + project + `
		GROUP BY n.inbox_id
		ORDER BY n.inbox_id DESC
	) AS c
	CROSS JOIN LATERAL (
		SELECT v.*
		FROM authsync.events AS v
		WHERE v.inbox_id = c.inbox_id AND v.received_at BETWEEN c.received_from AND c.received_to
		ORDER BY v.ordinal DESC
	) AS e`
}

// outcomeEvents reads the events with an outcome other than applied. The outcome is a constant in
// the statement, so that the planner can use the partial index.
func outcomeEvents(outcome, project string) string {
	return fmt.Sprintf(`(
		SELECT o.inbox_id, o.received_at, o.ordinal
		FROM authsync.event_outcomes AS o
		WHERE o.outcome = '%s' AND %s
		ORDER BY o.inbox_id DESC, o.ordinal DESC
	) AS c
	CROSS JOIN LATERAL (
		SELECT v.*
		FROM authsync.events AS v
		WHERE v.inbox_id = c.inbox_id AND v.received_at = c.received_at AND v.ordinal = c.ordinal
		LIMIT 1
	) AS e`, strings.ReplaceAll(outcome, "'", "''"), project)
}
