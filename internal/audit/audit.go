// Package audit records who did what through the management API, the dashboard and the command: the table
// authsync.audit_log, which only grows.
//
// An action spans several databases and may call a provider, so it cannot share a transaction with its row. The row is
// committed before the action begins, and its result is filled in afterwards. Without a row there is no action.
//
//	Begin ─▶ pending ──Finish──▶ succeeded, failed, refused
//	            └── the process dies: it stays pending, which says that nobody knows
//
// Attempts that are refused at the door change nothing, and anyone can make any number of them. They are counted, and
// written by Refusals in few rows.
//
// It stands beside the road of a webhook, between the API and its handlers.
package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/project"
)

// Actors: who acted.
const (
	Key     = "key"     // who held an API key
	Command = "command" // who ran authsync with access to the control database
	System  = "system"  // authsync by itself
	Unknown = "unknown" // nobody who showed a valid key
)

// Where an action was requested.
const (
	ViaAPI       = "api"
	ViaDashboard = "dashboard"
	ViaCommand   = "command"
	ViaServer    = "server"
)

// Outcomes.
const (
	Pending   = "pending"
	Succeeded = "succeeded"
	Failed    = "failed"
	Refused   = "refused"
)

// Origin is who acts, and from where.
type Origin struct {
	Actor string
	// Key is that of the actor Key, and of one whose key may not do this.
	Key       *project.Key
	Via       string
	Address   netip.Addr // invalid if unknown
	UserAgent string
	RequestID string
}

// Action is what is done.
type Action struct {
	// Name is an object and a verb, such as destination.pause.
	Name string
	// ProjectID and ProjectName are those of the project that it is about; nil and empty: all of them, or none that exists.
	ProjectID   *uuid.UUID
	ProjectName string
	// ObjectID is what it is about within the project; empty if that has no id yet.
	ObjectID string
}

// Result is how an action ended.
type Result struct {
	Outcome string
	Status  int    // of the HTTP answer; 0: there was none
	Code    string // of the error
	// Changes are the fields that it set; see Changes.
	Changes map[string]any
	// What was not known before: the id of what was created, and the project that it is.
	ObjectID    string
	ProjectID   *uuid.UUID
	ProjectName string
}

// Database is a pool or a connection to the control database.
type Database interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Log writes and reads the audit log. It is safe for concurrent use, as far as its database is.
type Log struct {
	Database Database
	Now      func() time.Time
}

const (
	// writeTimeout limits one write.
	writeTimeout = 5 * time.Second
	// maxText limits texts that a caller chooses.
	maxText = 200

	insertAction = `
		INSERT INTO authsync.audit_log (
			occurred_at, actor, key_id, key_name, key_role, via, action, project_id, project_name, object_id,
			remote_address, user_agent, request_id, request_count, outcome, status, code, finished_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		RETURNING id`

	finishAction = `
		UPDATE authsync.audit_log
		SET outcome = $2, status = $3, code = $4, changes = $5, finished_at = $6,
			object_id = coalesce(object_id, $7), project_id = coalesce(project_id, $8),
			project_name = CASE WHEN project_id IS NULL THEN $9 ELSE project_name END
		WHERE id = $1 AND outcome = 'pending'`
)

// Begin records that an action begins. If it fails, the action must not be done.
func (l *Log) Begin(ctx context.Context, o Origin, a Action) (id int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	row := append(l.columns(l.Now(), o, a), 1, Pending, nil, nil, nil)
	if err := l.Database.QueryRow(ctx, insertAction, row...).Scan(&id); err != nil {
		return 0, fmt.Errorf("record the action %s: %w", a.Name, err)
	}
	return id, nil
}

// Finish records how an action ended. The caller of the action may be gone by then.
func (l *Log) Finish(ctx context.Context, id int64, r Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if r.Changes == nil {
		r.Changes = map[string]any{}
	}
	changes, err := json.Marshal(r.Changes)
	if err != nil {
		return fmt.Errorf("record the result of an action: %w", err)
	}
	_, err = l.Database.Exec(ctx, finishAction, id, r.Outcome, orNull(r.Status), orNull(r.Code), string(changes), l.Now(),
		orNull(plain(r.ObjectID)), r.ProjectID, orNull(plain(r.ProjectName)))
	if err != nil {
		return fmt.Errorf("record the result of an action: %w", err)
	}
	return nil
}

// Do records an action around what does it, which fills the result in. The error is the action's, or that it could not
// be recorded, and then it was not done.
func (l *Log) Do(ctx context.Context, o Origin, a Action, act func(*Result) error) error {
	id, err := l.Begin(ctx, o, a)
	if err != nil {
		return err
	}
	result := Result{Outcome: Succeeded}
	if err = act(&result); err != nil {
		result.Outcome = Failed
	}
	if e := l.Finish(ctx, id, result); err == nil {
		err = e
	}
	return err
}

// columns are the first values of insertAction.
func (l *Log) columns(at time.Time, o Origin, a Action) []any {
	var keyID *uuid.UUID
	var name, role string
	if o.Key != nil {
		keyID, name, role = &o.Key.ID, o.Key.Name, string(o.Key.Role)
	}
	return []any{
		at, o.Actor, keyID, orNull(name), orNull(role), o.Via, a.Name, a.ProjectID, orNull(plain(a.ProjectName)), orNull(plain(a.ObjectID)),
		addressOrNull(o.Address), orNull(plain(o.UserAgent)), orNull(plain(o.RequestID)),
	}
}

func addressOrNull(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	text := a.WithZone("").String()
	return &text
}

func orNull[T comparable](value T) *T {
	var none T
	if value == none {
		return nil
	}
	return &value
}

// plain shortens a text and makes it valid for a text column.
func plain(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if short := []rune(text); len(short) > maxText {
		return string(short[:maxText]) + "…"
	}
	return text
}

// Entry is a row of authsync.audit_log.
type Entry struct {
	ID            int64
	OccurredAt    time.Time
	FinishedAt    *time.Time
	Actor         string
	KeyID         *uuid.UUID
	KeyName       *string
	KeyRole       *string
	Via           string
	Action        string
	ProjectID     *uuid.UUID
	ProjectName   *string
	ObjectID      *string
	RemoteAddress *netip.Addr
	UserAgent     *string
	RequestID     *string
	RequestCount  int64
	Outcome       string
	Status        *int
	Code          *string
	Changes       json.RawMessage
}

// Filter chooses entries; what is empty chooses all.
type Filter struct {
	ProjectID *uuid.UUID
	KeyID     *uuid.UUID
	// Action is a whole name, such as destination.pause, or the object of one, such as destination.
	Action       string
	Outcome      string
	Since, Until time.Time
	// OldestFirst turns the order around.
	OldestFirst bool
}

// Place is that of an entry in the list.
type Place struct {
	At time.Time
	ID int64
}

const (
	selectEntries = `
		SELECT id, occurred_at, finished_at, actor, key_id, key_name, key_role, via, action, project_id, project_name, object_id,
			remote_address, user_agent, request_id, request_count, outcome, status, code, changes
		FROM authsync.audit_log
		WHERE ($1::uuid IS NULL OR project_id = $1) AND ($2::uuid IS NULL OR key_id = $2)
			AND ($3 = '' OR action = $3 OR split_part(action, '.', 1) = $3) AND ($4 = '' OR outcome = $4)
			AND ($5::timestamptz IS NULL OR occurred_at >= $5) AND ($6::timestamptz IS NULL OR occurred_at < $6)`

	newestFirst = selectEntries + `
			AND ($7::timestamptz IS NULL OR (occurred_at, id) < ($7, $8))
		ORDER BY occurred_at DESC, id DESC LIMIT $9`

	oldestFirst = selectEntries + `
			AND ($7::timestamptz IS NULL OR (occurred_at, id) > ($7, $8))
		ORDER BY occurred_at, id LIMIT $9`
)

// List returns at most limit entries behind a place; nil: from the beginning.
func (l *Log) List(ctx context.Context, f Filter, after *Place, limit int) ([]Entry, error) {
	statement := newestFirst
	if f.OldestFirst {
		statement = oldestFirst
	}
	behind := cmp.Or(after, &Place{})
	rows, err := l.Database.Query(ctx, statement, pgx.QueryExecModeExec, f.ProjectID, f.KeyID, f.Action, f.Outcome,
		orNull(f.Since), orNull(f.Until), orNull(behind.At), behind.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByName[Entry])
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	for i := range entries {
		entries[i].OccurredAt = entries[i].OccurredAt.UTC()
	}
	return entries, nil
}
