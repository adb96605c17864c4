package syncrun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/source"
)

const (
	columns = `
		b.id, b.project_id, b.provider, b.kind, b.options, b.state, b.phase, b.cursor, b.total, b.pages, b.read, b.applied, b.unchanged, b.failed,
		extract(epoch FROM b.worked)::double precision AS worked, b.consecutive_failures, b.wait_reason, b.error, b.report, b.drift,
		b.started_at, b.updated_at, b.progressed_at, b.finished_at`

	insertRun = `
		INSERT INTO authsync.sync_runs AS b (project_id, provider, kind, options) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project_id, provider) WHERE state IN ('running', 'waiting') DO NOTHING
		RETURNING ` + columns

	selectUnfinished = `
		SELECT ` + columns + `
		FROM authsync.sync_runs AS b
		WHERE b.project_id = $1 AND b.provider = $2 AND b.state IN ('running', 'waiting')`

	selectLatest = `
		SELECT ` + columns + `
		FROM authsync.sync_runs AS b
		WHERE b.project_id = $1 AND b.provider = $2 AND b.kind = $3
		ORDER BY b.started_at DESC, b.id
		LIMIT 1`

	cancelRun = `
		UPDATE authsync.sync_runs AS b
		SET state = 'cancelled', wait_reason = NULL, updated_at = now(), finished_at = now()
		WHERE b.project_id = $1 AND b.provider = $2 AND b.kind = $3 AND b.state IN ('running', 'waiting')
		RETURNING ` + columns
)

// row is a row of authsync.sync_runs.
type row struct {
	ID                  uuid.UUID
	ProjectID           uuid.UUID
	Provider            string
	Kind                string
	Options             Order
	State               string
	Phase               string
	Cursor              string
	Total               *int64
	Pages               int64
	Read                int64
	Applied             int64
	Unchanged           int64
	Failed              int64
	Worked              float64 // seconds
	ConsecutiveFailures int
	WaitReason          *string
	Error               *string
	Report              Report
	Drift               *Drift
	StartedAt           time.Time
	UpdatedAt           time.Time
	ProgressedAt        time.Time
	FinishedAt          *time.Time
}

// run converts the row to a Run.
func (b *row) run() Run {
	r := Run{
		ID: b.ID, ProjectID: b.ProjectID, Provider: b.Provider, Kind: b.Kind, DryRun: b.Options.DryRun, Force: b.Options.Force,
		State: b.State, Phase: b.Phase, Total: b.Total, Read: b.Read, Applied: b.Applied, Unchanged: b.Unchanged, Failed: b.Failed,
		WaitReason: b.WaitReason, Error: b.Error, Report: b.Report,
		StartedAt: b.StartedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(), ProgressedAt: b.ProgressedAt.UTC(), FinishedAt: b.FinishedAt,
	}
	if r.FinishedAt != nil {
		utc := r.FinishedAt.UTC()
		r.FinishedAt = &utc
	}
	if r.Report.Bad == nil {
		r.Report.Bad = []Bad{}
	}
	if b.Phase == Confirm { // incomplete before that
		r.Drift = b.Drift
	}
	if b.Worked <= 0 || b.Read == 0 {
		return r
	}
	rate := float64(b.Read) / b.Worked
	r.PerSecond = &rate
	if b.Total != nil && b.FinishedAt == nil && b.Phase == Walk {
		left := float64(max(*b.Total-b.Read, 0)) / rate
		r.SecondsLeft = &left
	}
	return r
}

// Store starts, shows and cancels runs. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	accounts source.Accounts
}

// NewStore returns a Store on the control database.
func NewStore(pool *pgxpool.Pool, accounts source.Accounts) *Store {
	return &Store{pool: pool, accounts: accounts}
}

// Start begins a run; a worker takes it up at once. Errors: *RunningError
// if there is an unfinished one, fault.Unsupported if the credentials do not
// allow reading users, project.ErrNoProject, project.ErrNoIntegration.
func (s *Store) Start(ctx context.Context, projectID uuid.UUID, providerName string, o Order) (Run, error) {
	account, err := s.accounts.Open(ctx, projectID, providerName)
	if err != nil {
		return Run{}, err
	}
	account.Close()
	for range 3 { // the conflicting run may end while we read it
		run, err := s.start(ctx, projectID, providerName, o)
		if !errors.Is(err, pgx.ErrNoRows) {
			return run, err
		}
	}
	return Run{}, fmt.Errorf("start %s: others start and end meanwhile", o.Kind)
}

func (s *Store) start(ctx context.Context, projectID uuid.UUID, providerName string, o Order) (run Run, err error) {
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		b, err := queryOne[row](ctx, tx, insertRun, projectID, providerName, o.Kind, o)
		if errors.Is(err, pgx.ErrNoRows) {
			other, err := queryOne[row](ctx, tx, selectUnfinished, projectID, providerName)
			if err != nil {
				return err
			}
			return &RunningError{Run: other.run()}
		}
		if err != nil {
			return err
		}
		run = b.run()
		args := Args{RunID: b.ID, ProjectID: b.ProjectID, RunKind: b.Kind}
		return jobs.Request(ctx, tx, args, args.subject())
	})
	switch {
	case pgdb.Code(err) == pgerrcode.ForeignKeyViolation:
		return Run{}, project.ErrNoProject
	case err != nil:
		return Run{}, fmt.Errorf("start %s: %w", o.Kind, err)
	}
	return run, nil
}

// Latest returns the newest run of a kind, or ErrNoRun.
func (s *Store) Latest(ctx context.Context, projectID uuid.UUID, providerName, kind string) (Run, error) {
	b, err := queryOne[row](ctx, s.pool, selectLatest, projectID, providerName, kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, ErrNoRun
	}
	if err != nil {
		return Run{}, fmt.Errorf("read the newest %s: %w", kind, err)
	}
	return b.run(), nil
}

// Cancel ends the unfinished run of a kind at its next page; what it wrote stays. If none is
// unfinished, it returns the newest one, or ErrNoRun.
func (s *Store) Cancel(ctx context.Context, projectID uuid.UUID, providerName, kind string) (Run, error) {
	b, err := queryOne[row](ctx, s.pool, cancelRun, projectID, providerName, kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.Latest(ctx, projectID, providerName, kind)
	}
	if err != nil {
		return Run{}, fmt.Errorf("cancel %s: %w", kind, err)
	}
	return b.run(), nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func queryOne[T any](ctx context.Context, db querier, query string, args ...any) (T, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}
