// Package erasure removes everything that is stored of one person, in both databases, and leaves a receipt.
//
//	Start ─▶ authsync.erasures ─▶ job erase_user, in steps, each of which is bounded, repeatable and committed:
//
//	mark          the tombstone: from here on no event, replay, backfill or reconcile brings the person back;
//	              deliveries under way are cancelled, and the erasure is passed on as a change of its own
//	ledger        ids of processed events
//	mirror        rows and changes of the user, its memberships and sessions
//	invitations   those to the person's addresses
//	events        outcomes of events, and the events in their messages
//	inbox         all other messages that name the person
//	remains       requests to read the user, reports of runs, the state of destinations
//	clones        the erasure of the same person from each clone of the project begins
//	destinations  waits until each destination has heard of it, and each clone's erasure is done
//	finish        the ids that were needed until now, and the receipt
//
// The tombstone is a digest: SHA-256 of a key of the project, the record type and the id. The key is random and stored sealed, so
// that neither database shows who was erased, nor lets anyone try ids: many ids are numbers, or known to others. The key is not
// derived from the encryption key, because that is rotated.
//
// A mirror that is restored from a backup has everybody whom it had then. Its repair sets the tombstones again before anything is
// applied, has erasures that are at work begin anew, and begins those anew whose person is in the mirror; see package repair.
//
// While it runs, the row has the person's id and addresses sealed; a finished row has neither. If the process dies, the next job
// repeats the step that was not committed.
package erasure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// The states of an erasure.
const (
	Running = "running"
	Done    = "done"
)

// The phases, in their sequence.
const (
	phaseMark         = "mark"
	phaseLedger       = "ledger"
	phaseMirror       = "mirror"
	phaseInvitations  = "invitations"
	phaseEvents       = "events"
	phaseInbox        = "inbox"
	phaseRemains      = "remains"
	phaseClones       = "clones"
	phaseDestinations = "destinations"
	phaseFinish       = "finish"
)

// ErrNoErasure means that there is no such erasure.
var ErrNoErasure = fault.New(fault.ErasureNotFound, "there is no such erasure")

// Erasure is an erasure and, once it is done, its receipt. It holds no personal data.
type Erasure struct {
	ID          uuid.UUID
	ProjectID   uuid.UUID
	Digest      []byte
	RequestedBy string
	State       string
	Phase       string
	// Counts are the rows that were removed or rewritten, by table, at least: a step that is repeated after a crash counts what was
	// left.
	Counts       map[string]int64
	Destinations []Answer
	Clones       []CloneErasure
	WaitReason   *string
	RequestedAt  time.Time
	MarkedAt     *time.Time // the person cannot come back since then
	FinishedAt   *time.Time
}

// Answer is what a destination made of an erasure.
type Answer struct {
	Name   string     `json:"name"`
	Type   string     `json:"type"`
	State  string     `json:"state"` // of the delivery
	Status *int       `json:"status"`
	Reason *string    `json:"reason"`
	At     *time.Time `json:"at"`
}

// subject is what an erasure knows of its person while it runs. It is stored sealed.
type subject struct {
	UserID      string   `json:"user_id"`
	ChangeID    int64    `json:"change_id,omitempty"` // that passes the erasure on
	Emails      []string `json:"emails,omitempty"`
	Invitations []string `json:"invitations,omitempty"`
	// Clones are the erasures from clones that were begun, by project.
	Clones map[uuid.UUID]uuid.UUID `json:"clones,omitempty"`
	// How far the phases have come.
	Ledger          mirror.LedgerPlace `json:"ledger,omitzero"`
	InvitationAfter string             `json:"invitation_after,omitempty"`
	InboxAfter      int64              `json:"inbox_after,omitempty"`
}

func (s *subject) person() inbox.Person {
	return inbox.Person{UserID: s.UserID, IsLong: mirror.IsLongID(s.UserID), Emails: s.Emails}
}

// Args are the arguments of erase_user: ids only.
type Args struct {
	ErasureID uuid.UUID `json:"erasure_id"`
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return jobs.EraseUser }

func (a Args) subject() string { return a.ErasureID.String() }

// Vault seals what an erasure knows, and has the keys of digests; see project.Store.
type Vault interface {
	EnsureErasureKey(ctx context.Context, projectID uuid.UUID) ([]byte, error)
	SealErasure(projectID, erasureID uuid.UUID, plain []byte) ([]byte, error)
	OpenErasure(projectID, erasureID uuid.UUID, sealed []byte) ([]byte, error)
}

// Store starts and shows erasures. It is safe for concurrent use.
type Store struct {
	Pool  *pgxpool.Pool // the control database
	Vault Vault
	Now   func() time.Time
}

const (
	columns = `
		e.id, e.project_id, e.digest, e.requested_by, e.state, e.phase, e.counts, e.destinations, e.clones, e.wait_reason, e.requested_at, e.marked_at,
		e.finished_at`

	insertErasure = `
		INSERT INTO authsync.erasures AS e (id, project_id, digest, subject_sealed, requested_by, requested_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project_id, digest) WHERE state = 'running' DO NOTHING
		RETURNING ` + columns

	selectRunning = `
		SELECT ` + columns + `
		FROM authsync.erasures AS e
		WHERE e.project_id = $1 AND e.digest = $2 AND e.state = 'running'`

	selectErasure = `
		SELECT ` + columns + `
		FROM authsync.erasures AS e
		WHERE e.project_id = $1 AND e.id = $2`

	selectErasures = `
		SELECT ` + columns + `
		FROM authsync.erasures AS e
		WHERE e.project_id = $1 AND ($2::uuid IS NULL OR (e.requested_at, e.id) < (
			SELECT b.requested_at, b.id FROM authsync.erasures AS b WHERE b.project_id = $1 AND b.id = $2))
		ORDER BY e.requested_at DESC, e.id DESC
		LIMIT $3`
)

// Start begins the erasure of a user, whether or not the mirror has the user; a running one of the same user is returned as it is. by
// is who asked for it. Errors: fault.Invalid, project.ErrNoProject.
func (s *Store) Start(ctx context.Context, projectID uuid.UUID, userID, by string) (e Erasure, started bool, err error) {
	return s.start(ctx, projectID, &subject{UserID: userID}, by)
}

func (s *Store) start(ctx context.Context, projectID uuid.UUID, about *subject, by string) (e Erasure, started bool, err error) {
	key, err := s.Vault.EnsureErasureKey(ctx, projectID)
	if err != nil {
		return Erasure{}, false, err
	}
	id := uuid.New()
	sealed, err := sealSubject(s.Vault, projectID, id, about)
	if err != nil {
		return Erasure{}, false, err
	}
	digest := mirror.ErasureDigest(key, record.User, about.UserID)
	err = pgdb.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		e, err = pgdb.CollectOne[Erasure](ctx, tx, insertErasure, id, projectID, digest, sealed, by, s.Now())
		started = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			e, err = pgdb.CollectOne[Erasure](ctx, tx, selectRunning, projectID, digest)
		}
		if err != nil {
			return err
		}
		args := Args{ErasureID: e.ID, ProjectID: projectID}
		return jobs.Request(ctx, tx, args, args.subject())
	})
	if err != nil {
		return Erasure{}, false, fmt.Errorf("start an erasure: %w", err)
	}
	return e, started, nil
}

// Find returns an erasure of a project. Errors: ErrNoErasure.
func (s *Store) Find(ctx context.Context, projectID, id uuid.UUID) (Erasure, error) {
	e, err := pgdb.CollectOne[Erasure](ctx, s.Pool, selectErasure, projectID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Erasure{}, ErrNoErasure
	}
	if err != nil {
		return Erasure{}, fmt.Errorf("find an erasure: %w", err)
	}
	return e, nil
}

// List returns the newest erasures of a project, those before one of them; nil: from the newest.
func (s *Store) List(ctx context.Context, projectID uuid.UUID, before *uuid.UUID, limit int) ([]Erasure, error) {
	all, err := pgdb.Collect[Erasure](ctx, s.Pool, selectErasures, projectID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	return all, nil
}

func openSubject(v Vault, projectID, id uuid.UUID, sealed []byte) (s subject, err error) {
	plain, err := v.OpenErasure(projectID, id, sealed)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(plain, &s); err != nil {
		return s, fmt.Errorf("read the subject of an erasure: %w", err)
	}
	return s, nil
}

func sealSubject(v Vault, projectID, id uuid.UUID, s *subject) ([]byte, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the subject of an erasure: %w", err)
	}
	return v.SealErasure(projectID, id, plain)
}
