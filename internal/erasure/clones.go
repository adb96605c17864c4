package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/pgdb"
)

// CloneErasure is the erasure of the same person from a clone of the project, which is an erasure of its own.
type CloneErasure struct {
	Project    string     `json:"project"`    // its name; of one that was detached meanwhile, its id
	ErasureID  uuid.UUID  `json:"erasure_id"` // in that project
	State      string     `json:"state"`      // running, done, detached, or unfinished: it was not done when the time was up
	WaitReason *string    `json:"wait_reason"`
	FinishedAt *time.Time `json:"finished_at"`
}

const (
	stateUnfinished = "unfinished"

	selectClones = `
		SELECT c.project_id FROM authsync.clones AS c WHERE c.source_project_id = $1 ORDER BY c.project_id`

	selectCloneErasures = `
		SELECT coalesce(p.name, w.project_id::text) AS project, w.erasure_id,
			CASE WHEN p.id IS NULL THEN 'detached' ELSE coalesce(e.state, 'running') END AS state, e.wait_reason, e.finished_at
		FROM unnest($1::uuid[], $2::uuid[]) AS w (project_id, erasure_id)
		LEFT JOIN authsync.projects AS p ON p.id = w.project_id
		LEFT JOIN authsync.erasures AS e ON e.id = w.erasure_id
		ORDER BY 1`

	setClones = `UPDATE authsync.erasures SET clones = $3 WHERE id = $1 AND steps = $2 AND state = 'running'`
)

// clones begins the erasure of the same person from each clone, also from those that stand still. It comes when the source has
// no row of the person any more: a clone that is made later gets none, and in one that is being copied the tombstone keeps out what
// was read before. The addresses go along: of the clone's rows, those that name them may be there already, and the user not yet.
func (r *run) clones(ctx context.Context) error {
	rows, err := r.Pool.Query(ctx, selectClones, r.row.ProjectID)
	if err != nil {
		return fmt.Errorf("find clones: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("find clones: %w", err)
	}
	store := &Store{Pool: r.Pool, Vault: r.Vault, Now: r.Now}
	for _, id := range found {
		if _, begun := r.about.Clones[id]; begun {
			continue
		}
		e, _, err := store.start(ctx, id, &subject{UserID: r.about.UserID, Emails: r.about.Emails}, "erasure "+r.id.String())
		if err != nil {
			return err
		}
		if r.about.Clones == nil {
			r.about.Clones = make(map[uuid.UUID]uuid.UUID)
		}
		r.about.Clones[id] = e.ID
	}
	return r.commit(ctx, r.Pool, phaseDestinations)
}

// cloned returns how the erasures from clones are, and the name of one that is not done.
func (r *run) cloned(ctx context.Context, late bool) (all []CloneErasure, waiting string, err error) {
	projects, erasures := make([]uuid.UUID, 0, len(r.about.Clones)), make([]uuid.UUID, 0, len(r.about.Clones))
	for project, erasure := range r.about.Clones {
		projects, erasures = append(projects, project), append(erasures, erasure)
	}
	if all, err = pgdb.Collect[CloneErasure](ctx, r.Pool, selectCloneErasures, projects, erasures); err != nil {
		return nil, "", fmt.Errorf("read the erasures from clones: %w", err)
	}
	for i := range all {
		if all[i].State == Running {
			waiting = all[i].Project
			if late {
				all[i].State = stateUnfinished
			}
		}
	}
	return all, waiting, nil
}

// setCloned records how the erasures from clones are.
func (r *run) setCloned(ctx context.Context, db delivery.Execer, all []CloneErasure) error {
	if len(all) == 0 {
		return nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, setClones, r.id, r.row.Steps, text); err != nil {
		return fmt.Errorf("record the erasures from clones: %w", err)
	}
	return nil
}
