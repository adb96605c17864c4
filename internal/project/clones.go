package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
)

// The modes of a clone, and the phases that are the end of a copy.
const (
	CloneFollowing = "following"
	CloneStill     = "still"
)

// Clone is how a project's mirror is made from that of another project.
type Clone struct {
	SourceProjectID *uuid.UUID // nil: it was detached
	SourceName      string     // as it is now; of a detached one, as it was
	Mode            string     // CloneFollowing or CloneStill
	Phase           string     // begin, copy, remove, changes, following or still
	RowsExpected    *int64     // an estimate; nil: not known yet
	RowsCopied      int64
	ChangesCopied   int64
	ChangesBehind   *int64     // at most; nil: not known yet
	CopiedAt        *time.Time // when the last full copy ended
	CaughtUpAt      *time.Time // when it last had all that the source had
	WaitReason      *string
	CreatedAt       time.Time
}

// CloneArgs are the arguments of the job copy_mirror, which makes a project's mirror that of its source. Package clone works it.
type CloneArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (CloneArgs) Kind() string { return jobs.CopyMirror }

// Subject identifies the single job of a clone.
func (a CloneArgs) Subject() string { return a.ProjectID.String() }

// RequestClone requests the job of a clone.
func RequestClone(ctx context.Context, db jobs.DB, projectID uuid.UUID) error {
	args := CloneArgs{ProjectID: projectID}
	return jobs.Request(ctx, db, args, args.Subject())
}

const (
	insertClone = `
		INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode, account_marks)
		SELECT $1, p.id, p.name, $3, (
			SELECT coalesce(jsonb_object_agg(m.provider, m.mark), '{}')
			FROM (
				SELECT i.provider, i.account_mark AS mark FROM authsync.integrations AS i WHERE i.project_id = p.id AND i.account_mark IS NOT NULL
				UNION ALL -- a clone of a clone
				SELECT o.key, o.value FROM authsync.clones AS c, jsonb_each_text(c.account_marks) AS o
				WHERE c.project_id = p.id AND NOT EXISTS (
					SELECT FROM authsync.integrations AS i
					WHERE i.project_id = p.id AND i.provider = o.key AND i.account_mark IS NOT NULL)
			) AS m
		)
		FROM authsync.projects AS p
		WHERE p.id = $2`

	selectClones = `
		SELECT c.project_id, c.source_project_id, coalesce(p.name, c.source_name) AS source_name, c.mode, c.phase, c.rows_expected, c.rows_copied,
		       c.changes_copied, c.changes_behind, c.copied_at, c.caught_up_at, c.wait_reason, c.created_at
		FROM authsync.clones AS c
		LEFT JOIN authsync.projects AS p ON p.id = c.source_project_id
		WHERE c.project_id = ANY ($1::uuid[])`

	// A copy that is under way begins anew: a later request may have been made because of what was copied already.
	setClone = `
		UPDATE authsync.clones AS c
		SET mode = coalesce(nullif($2, ''), c.mode), phase = CASE WHEN $3 THEN 'begin' ELSE 'still' END, place = NULL, steps = c.steps + 1, wait_reason = NULL,
		    updated_at = clock_timestamp()
		WHERE c.project_id = $1`

	selectFollows = `
		SELECT coalesce(p.name, c.source_name), c.phase, c.account_marks
		FROM authsync.clones AS c
		LEFT JOIN authsync.projects AS p ON p.id = c.source_project_id
		WHERE c.project_id = $1`

	selectFollowers = `
		SELECT p.name
		FROM authsync.clones AS c
		JOIN authsync.projects AS p ON p.id = c.project_id
		WHERE c.source_project_id = $1 AND c.phase <> 'still'
		ORDER BY p.name
		LIMIT 20`
)

// CloneTarget is a database that is to become a clone.
type CloneTarget struct {
	URL, SourceURL string
	SourceID       uuid.UUID
	Adopt          bool // see CloneInput
}

// ErrNoClone means that a project is no clone.
var ErrNoClone = fault.New(fault.WrongState, "the project is no clone of another one: authsync projects clone makes one")

// CloneInput is what a clone is made of.
type CloneInput struct {
	// Adopt allows a database that has a mirror: a copy of the source's database, or a mirror that is nobody's. What the source does
	// not have is removed from it.
	NewProject

	Source uuid.UUID
	Mode   string
}

// CloneProject creates a project whose mirror is copied from that of another project, by the job copy_mirror. Errors are those of
// CreateProject; ErrNoProject: there is no such source.
func (s *Store) CloneProject(ctx context.Context, in CloneInput) (Project, error) {
	if in.Mode != CloneFollowing && in.Mode != CloneStill {
		return Project{}, invalid("clone_of.mode is %.40q: must be following or still", in.Mode)
	}
	sourceURL, err := s.DatabaseURL(ctx, in.Source)
	if err != nil {
		return Project{}, err
	}
	// Tombstones of the source mean something in the clone only by the same key.
	key, err := s.EnsureErasureKey(ctx, in.Source)
	if err != nil {
		return Project{}, err
	}
	return s.create(ctx, creation{
		NewProject: in.NewProject,
		check: func(ctx context.Context, url string) error {
			if s.checkClone == nil {
				return nil
			}
			err := s.checkClone(ctx, CloneTarget{URL: url, SourceURL: sourceURL, SourceID: in.Source, Adopt: in.Adopt})
			if owned, is := errors.AsType[*pgdb.OwnedError](err); is && owned.Owner == in.Source {
				return fault.Wrap(fault.DatabaseUnusable, err, fmt.Sprintf("database %s: it is a copy of the database of the project that is to be cloned: "+
					"have the mirror there become the clone (--adopt, \"adopt\": true)", s.tenants.SafeURL(url)))
			}
			return s.databaseError(ctx, url, err)
		},
		then: func(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
			sealed, err := sealErasureKey(s.keyring, id, key)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, setErasureKey, id, sealed); err != nil {
				return fmt.Errorf("store the erasure key: %w", err)
			}
			tag, err := tx.Exec(ctx, insertClone, id, in.Source, in.Mode)
			if err != nil {
				return fmt.Errorf("insert clone: %w", err)
			}
			if tag.RowsAffected() == 0 {
				return ErrNoProject
			}
			return RequestClone(ctx, tx, id)
		},
	})
}

// Clones returns those of some projects that are clones, by project.
func (s *Store) Clones(ctx context.Context, projects ...uuid.UUID) (map[uuid.UUID]Clone, error) {
	type row struct {
		ProjectID uuid.UUID
		Clone
	}
	rows, err := pgdb.Collect[row](ctx, s.pool, selectClones, projects)
	if err != nil {
		return nil, fmt.Errorf("find clones: %w", err)
	}
	found := make(map[uuid.UUID]Clone, len(rows))
	for _, r := range rows {
		found[r.ProjectID] = r.Clone
	}
	return found, nil
}

// SetClone has a clone copied in full once more, and then follow its source or stand still; with an empty mode, as before. Without copying, which is possible only
// to stand still, it stops as it is. Errors: ErrNoProject, ErrNoClone, fault.Invalid, fault.WrongState.
func (s *Store) SetClone(ctx context.Context, projectID uuid.UUID, mode string, copying bool) error {
	switch {
	case mode != CloneFollowing && mode != CloneStill && mode != "":
		return invalid("mode is %.40q: must be following or still", mode)
	case !copying && mode != CloneStill:
		return invalid("copy is false: that is for mode still only; a clone that follows its source is copied first")
	}
	return pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTheProject(ctx, tx, projectID); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, setClone, projectID, mode, copying)
		switch constraint := constraintOf(err); {
		case constraint == cloneSourceCheck:
			return fault.New(fault.WrongState, "the project that it is a clone of was detached: there is nothing to copy from")
		case err != nil:
			return fmt.Errorf("change a clone: %w", err)
		case tag.RowsAffected() == 0:
			return ErrNoClone
		}
		rows, err := integrationRows(ctx, tx, projectID, "")
		switch {
		case err != nil:
			return err
		case len(rows) > 0:
			return fault.New(fault.WrongState, "the project has an integration of its own by now, whose events the source does not know: "+
				"its mirror is not made from another one any more. Delete the integration first, or make another clone")
		case !copying:
			return nil
		}
		return RequestClone(ctx, tx, projectID)
	})
}

// cloneSourceCheck is violated where a clone would lose the source that it still reads.
const cloneSourceCheck = "clones_source_check"

// constraintOf returns the constraint that a statement violated.
func constraintOf(err error) string {
	if pg, is := errors.AsType[*pgconn.PgError](err); is && pg.Code == pgerrcode.CheckViolation {
		return pg.ConstraintName
	}
	return ""
}

// followed is the error about a project that cannot be detached because clones still read its mirror.
func (s *Store) followed(ctx context.Context, projectID uuid.UUID) error {
	rows, err := s.pool.Query(ctx, selectFollowers, projectID)
	var names []string
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return fmt.Errorf("find clones: %w", err)
	}
	return fault.Newf(fault.WrongState, "clones of this project still read its mirror: %s. Have each stand still first "+
		"(authsync projects resync CLONE --still), or detach it", strings.Join(names, ", "))
}

// followsMark returns the mark of the account that a clone's first integration of its own with a provider must be of; nil: any. The
// error is fault.WrongState while the clone's records come from its source.
func followsMark(ctx context.Context, db database, projectID uuid.UUID, providerName string) (*string, error) {
	var source, phase string
	var marks json.RawMessage
	err := db.QueryRow(ctx, selectFollows, projectID).Scan(&source, &phase, &marks)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // it is no clone
	case err != nil:
		return nil, fmt.Errorf("find clone: %w", err)
	case phase != CloneStill:
		return nil, fault.Newf(fault.WrongState, "the project is a clone of %s, from which its records come: an integration of its own would write "+
			"others. Have it stand still first: authsync projects resync CLONE --still", source)
	}
	var byProvider map[string]string
	if err := json.Unmarshal(marks, &byProvider); err != nil {
		return nil, fmt.Errorf("read the accounts of a clone: %w", err)
	}
	if mark, known := byProvider[providerName]; known {
		return &mark, nil
	}
	return nil, nil //nolint:nilnil // the source had none
}
