package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
)

// Sizes of a step: rows that are rewritten, and messages that are searched.
const (
	deliveriesPage = 200
	outcomesPage   = 200
	messagesPage   = 1000
)

const (
	selectUnfinished = `
		SELECT d.id
		FROM authsync.deliveries AS d
		WHERE d.project_id = $1 AND d.user_id = $2 AND d.change_id <> $3
		  AND (d.state IN ('held', 'blocked', 'retrying') OR $4 AND d.state IN ('ready', 'failed'))
		ORDER BY d.id
		LIMIT $5`

	cancelDelivery = `SELECT authsync.cancel_delivery($1, $2, $3)`
)

// cancelDeliveries cancels a page of what is to be delivered of the user: what it says is being removed. What is ready may be on its way;
// it is cancelled only with all.
func (r *run) cancelDeliveries(ctx context.Context, tx pgx.Tx, all bool) (more bool, err error) {
	rows, err := tx.Query(ctx, selectUnfinished, pgdb.Planned, r.row.ProjectID, r.about.UserID, r.about.ChangeID, all, deliveriesPage)
	if err != nil {
		return false, fmt.Errorf("find deliveries of the user: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return false, fmt.Errorf("find deliveries of the user: %w", err)
	}
	for _, id := range ids {
		if _, err := tx.Exec(ctx, cancelDelivery, r.row.ProjectID, id, r.Now()); err != nil {
			return false, fmt.Errorf("cancel a delivery: %w", err)
		}
	}
	return len(ids) == deliveriesPage, nil
}

const (
	selectOutcomes = `
		(SELECT o.inbox_id, o.ordinal, o.received_at
		FROM authsync.event_outcomes AS o
		WHERE o.user_id = $2 AND o.project_id = $1
		ORDER BY o.inbox_id, o.ordinal
		LIMIT $4)
		UNION
		(SELECT o.inbox_id, o.ordinal, o.received_at
		FROM authsync.event_outcomes AS o
		WHERE o.record_id = ANY ($3::text[]) AND o.record_type = 'invitation' AND o.project_id = $1
		ORDER BY o.inbox_id, o.ordinal
		LIMIT $4)
		ORDER BY inbox_id, ordinal`

	// An event that has failed is not tried again: there is nothing left of it.
	eraseOutcomes = `
		UPDATE authsync.event_outcomes AS o SET
			event_id = NULL, user_id = NULL, record_type = NULL, record_id = NULL, event_time = NULL, reason = $4,
			outcome = CASE WHEN o.outcome IN ('failed', 'pending') THEN 'ignored' ELSE o.outcome END,
			applied_at = coalesce(o.applied_at, $5)
		FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[]) AS e (inbox_id, ordinal, received_at)
		WHERE o.inbox_id = e.inbox_id AND o.ordinal = e.ordinal AND o.received_at = e.received_at`
)

// events erases a page of outcomes, and their events from the messages that brought them.
func (r *run) events(ctx context.Context, tx pgx.Tx, then string) (next string, err error) {
	invitations := r.about.Invitations
	if invitations == nil {
		invitations = []string{}
	}
	type event struct {
		InboxID    int64
		Ordinal    int
		ReceivedAt time.Time
	}
	rows, err := pgdb.Collect[event](ctx, planned{tx}, selectOutcomes, r.row.ProjectID, r.about.UserID, invitations, outcomesPage)
	if err != nil {
		return "", fmt.Errorf("find events of the user: %w", err)
	}
	var ids []int64
	var ordinals []int
	var received []time.Time
	for first := 0; first < len(rows); {
		m := inbox.MessageRef{ProjectID: r.row.ProjectID, InboxID: rows[first].InboxID, ReceivedAt: rows[first].ReceivedAt}
		last := first
		var of []int
		for ; last < len(rows) && rows[last].InboxID == m.InboxID; last++ {
			of = append(of, rows[last].Ordinal)
			ids, ordinals, received = append(ids, m.InboxID), append(ordinals, rows[last].Ordinal), append(received, m.ReceivedAt)
		}
		first = last
		changed, err := inbox.EraseEvents(ctx, tx, m, of, r.about.person())
		if err != nil {
			return "", err
		}
		if changed {
			r.rowsGone["authsync.inbox"]++
		}
	}
	if len(rows) == 0 {
		return then, nil
	}
	tag, err := tx.Exec(ctx, eraseOutcomes, ids, ordinals, received, inbox.ErasedReason, r.Now())
	if err != nil {
		return "", fmt.Errorf("erase outcomes: %w", err)
	}
	r.rowsGone["authsync.event_outcomes"] = tag.RowsAffected()
	return r.row.Phase, nil
}

// planned plans statements for their arguments; see pgdb.Planned.
type planned struct{ pgx.Tx }

func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.Tx.Query(ctx, sql, append([]any{pgdb.Planned}, args...)...)
}

const (
	selectPage = `
		SELECT coalesce(max(p.id), 0), count(*)
		FROM (SELECT i.id FROM authsync.inbox AS i WHERE i.project_id = $1 AND i.id > $2 ORDER BY i.id LIMIT $3) AS p`

	// What may name the person: it has the id or an address, or an escape that may hide one. A message with an event about somebody
	// else who has the address by now is left to that person: others are the users whom it is about.
	selectCandidates = `
		SELECT i.id, i.received_at,
			EXISTS (SELECT FROM authsync.event_outcomes AS o
				WHERE o.inbox_id = i.id AND o.received_at = i.received_at AND o.user_id <> $5) AS others
		FROM authsync.inbox AS i
		WHERE i.project_id = $1 AND i.id > $2 AND i.id <= $3
		  AND EXISTS (SELECT FROM unnest($4::bytea[]) AS n (needle) WHERE position(n.needle IN i.body) > 0)
		ORDER BY i.id`
)

// messages searches a page of the inbox for messages that name the person though no outcome says so: of types that are not mirrored,
// or that could not be decoded.
func (r *run) messages(ctx context.Context, tx pgx.Tx) (next string, err error) {
	p := r.about.person()
	if !p.IsLong && len(p.Emails) == 0 {
		return phaseRemains, nil
	}
	var last, found int64
	if err := tx.QueryRow(ctx, selectPage, pgdb.Planned, r.row.ProjectID, r.about.InboxAfter, messagesPage).Scan(&last, &found); err != nil {
		return "", fmt.Errorf("search the inbox: %w", err)
	}
	if found == 0 {
		return phaseRemains, nil
	}
	type candidate struct {
		ID         int64
		ReceivedAt time.Time
		Others     bool
	}
	candidates, err := pgdb.Collect[candidate](ctx, planned{tx}, selectCandidates,
		r.row.ProjectID, r.about.InboxAfter, last, needles(p), p.UserID)
	if err != nil {
		return "", fmt.Errorf("search the inbox: %w", err)
	}
	for _, c := range candidates {
		m := inbox.MessageRef{ProjectID: r.row.ProjectID, InboxID: c.ID, ReceivedAt: c.ReceivedAt}
		erase := inbox.EraseMentions
		if c.Others {
			erase = func(ctx context.Context, tx pgx.Tx, m inbox.MessageRef, p inbox.Person) (bool, error) {
				return inbox.EraseEvents(ctx, tx, m, nil, p)
			}
		}
		changed, err := erase(ctx, tx, m, p)
		if err != nil {
			return "", err
		}
		if changed {
			r.rowsGone["authsync.inbox"]++
		}
	}
	r.about.InboxAfter = last
	if found < messagesPage {
		return phaseRemains, nil
	}
	return phaseInbox, nil
}

// needles are bytes of which a body that names a person has at least one.
func needles(p inbox.Person) [][]byte {
	all := [][]byte{[]byte(`\u`), []byte(`\/`)} // escapes
	add := func(text string) {
		if text != "" && !slices.ContainsFunc(all, func(known []byte) bool { return string(known) == text }) {
			all = append(all, []byte(text))
		}
	}
	if p.IsLong {
		for _, text := range []string{p.UserID, url.PathEscape(p.UserID), url.QueryEscape(p.UserID)} {
			add(text)
		}
	}
	for _, email := range p.Emails {
		add(email)
	}
	return all
}

const (
	deleteRefreshes = `
		DELETE FROM authsync.refresh_requests WHERE project_id = $1 AND user_id = $2`

	// $2 is the id as it stands in a JSON string, $3 the same as it stands in a sentence.
	eraseReports = `
		UPDATE authsync.sync_runs AS b SET
			report = replace(replace(b.report::text, ', id ' || $2 || '"', ', id erased"'), $3, 'erased')::jsonb,
			drift = replace(b.drift::text, $3, 'erased')::jsonb,
			error = replace(b.error, $4, 'erased'),
			wait_reason = replace(b.wait_reason, $4, 'erased')
		WHERE b.project_id = $1
		  AND (strpos(b.report::text, ', id ' || $2 || '"') > 0
		       OR $3 <> '' AND (strpos(b.report::text, $3) > 0 OR strpos(b.drift::text, $3) > 0)
		       OR $4 <> '' AND (strpos(b.error, $4) > 0 OR strpos(b.wait_reason, $4) > 0))`

	eraseBreakers = `
		UPDATE authsync.destination_progress AS f
		SET breaker_failed_records = array_remove(f.breaker_failed_records, $2)
		WHERE f.destination_id IN (SELECT d.id FROM authsync.destinations AS d WHERE d.project_id = $1)
		  AND $2 = ANY (f.breaker_failed_records)`
)

// remains removes the few rows that are left.
func (r *run) remains(ctx context.Context, tx pgx.Tx) (next string, err error) {
	quoted, err := json.Marshal(r.about.UserID)
	if err != nil {
		return "", err
	}
	inJSON, long, longText := string(quoted[1:len(quoted)-1]), "", ""
	if r.about.person().IsLong {
		long, longText = inJSON, r.about.UserID
	}
	for _, s := range []struct {
		table, sql string
		args       []any
	}{
		{"authsync.refresh_requests", deleteRefreshes, []any{r.row.ProjectID, r.about.UserID}},
		{"authsync.sync_runs", eraseReports, []any{r.row.ProjectID, inJSON, long, longText}},
		{"authsync.destination_progress", eraseBreakers, []any{r.row.ProjectID, "user:" + r.about.UserID}},
	} {
		tag, err := tx.Exec(ctx, s.sql, s.args...)
		if err != nil {
			return "", fmt.Errorf("erase from %s: %w", s.table, err)
		}
		r.rowsGone[s.table] += tag.RowsAffected()
	}
	return phaseClones, nil
}
