package watch

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// Problem is a row of authsync.problems.
type Problem struct {
	ID         int64
	Kind       string
	ProjectID  *uuid.UUID
	Project    *string // its name
	Subject    string
	Severity   string
	Detail     string
	Next       string `db:"next_step"`
	OpenedAt   time.Time
	LastSeenAt time.Time
	ClosedAt   *time.Time
	NotifiedAt *time.Time // when one of the operator's webhooks accepted the call of its opening
}

const selectProblems = `
	SELECT p.id, p.kind, p.project_id, j.name AS project, p.subject, p.severity, p.detail, p.next_step, p.opened_at, p.last_seen_at, p.closed_at,
	       (SELECT min(c.delivered_at) FROM authsync.problem_calls AS c WHERE c.problem_id = p.id AND c.event = 'opened') AS notified_at
	FROM authsync.problems AS p
	LEFT JOIN authsync.projects AS j ON j.id = p.project_id
	WHERE ($1::uuid IS NULL OR p.project_id = $1)
	  AND ($2 = '' OR (p.closed_at IS NULL) = ($2 = 'open'))
	  AND ($3 = '' OR p.kind = $3)
	  AND ($4 = 0 OR p.id < $4)
	ORDER BY p.id DESC
	LIMIT $5`

// States of a problem.
const (
	StateOpen   = "open"
	StateClosed = "closed"
)

// Filter chooses problems; the zero value means all.
type Filter struct {
	ProjectID *uuid.UUID // only those of a project
	State     string     // StateOpen or StateClosed
	Kind      string
}

// Reader reads problems.
type Reader struct{ Pool *pgxpool.Pool }

// List returns a page of problems, newest first, and the cursor of the next one; empty: there is none.
// Errors: fault.ErrBadCursor.
func (r Reader) List(ctx context.Context, f Filter, cursor string, limit int) (page []Problem, next string, err error) {
	var before int64
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return nil, "", fault.ErrBadCursor
		}
	}
	page, err = pgdb.Collect[Problem](ctx, r.Pool, selectProblems, pgdb.Planned, f.ProjectID, f.State, f.Kind, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("read problems: %w", err)
	}
	for i := range page {
		page[i].utc()
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].ID, 10)
	}
	return page, next, nil
}

func (p *Problem) utc() {
	p.OpenedAt, p.LastSeenAt = p.OpenedAt.UTC(), p.LastSeenAt.UTC()
	for _, at := range []*time.Time{p.ClosedAt, p.NotifiedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
}

// Open returns the open problems, newest first: of a project, or of all if it is nil. There are at most maxFindings.
func Open(ctx context.Context, pool *pgxpool.Pool, projectID *uuid.UUID) ([]Problem, error) {
	all, _, err := Reader{pool}.List(ctx, Filter{ProjectID: projectID, State: StateOpen}, "", maxFindings)
	return all, err
}

const countProblems = `SELECT p.kind, count(*) AS problems FROM authsync.problems AS p WHERE p.closed_at IS NULL GROUP BY p.kind`

// Counts returns how many problems of each kind are open, the kinds of which none is included.
func Counts(ctx context.Context, pool *pgxpool.Pool) (map[string]int, error) {
	type row struct {
		Kind     string
		Problems int
	}
	all, err := pgdb.Collect[row](ctx, pool, countProblems)
	if err != nil {
		return nil, fmt.Errorf("count problems: %w", err)
	}
	counts := make(map[string]int)
	for _, kind := range Kinds() {
		counts[kind] = 0
	}
	for _, r := range all {
		counts[r.Kind] = r.Problems
	}
	return counts, nil
}

// EvaluatedAt returns when problems were last looked for; nil: never.
func EvaluatedAt(ctx context.Context, pool *pgxpool.Pool) (at *time.Time, err error) {
	if err := pool.QueryRow(ctx, `SELECT evaluated_at FROM authsync.watch_state`).Scan(&at); err != nil {
		return nil, fmt.Errorf("read when problems were last looked for: %w", err)
	}
	return at, nil
}
