package project

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/seal"
)

// erasureKeySize is the size of the key of a project's erasures, in bytes: as much as the digest has.
const erasureKeySize = 32

const (
	// The first key stays: digests that were made with it must be found again.
	setErasureKey = `
		UPDATE authsync.projects SET erasure_key_sealed = coalesce(erasure_key_sealed, $2)
		WHERE id = $1
		RETURNING erasure_key_sealed`
)

// ErasureKey returns the key of the digests by which the project's erased users are remembered; nil if nobody was erased.
// Errors: ErrNoProject, ErrNotLoaded, as for Lookup.
func (d *Directory) ErasureKey(ctx context.Context, projectID uuid.UUID) ([]byte, error) {
	return ask(ctx, d, func(s *state) ([]byte, error) {
		p := s.projects[projectID]
		if p == nil {
			return nil, ErrNoProject
		}
		return p.erasureKey, nil
	})
}

// EnsureErasureKey returns the key of the project's erasures, and makes one if there is none. It is random, so that ids cannot be
// tried against the digests, and sealed, so that it is in neither database in clear. Errors: ErrNoProject, and those of
// seal.Keyring.Open.
func (s *Store) EnsureErasureKey(ctx context.Context, projectID uuid.UUID) ([]byte, error) {
	key := make([]byte, erasureKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make an erasure key: %w", err)
	}
	sealed, err := sealErasureKey(s.keyring, projectID, key)
	if err != nil {
		return nil, err
	}
	err = s.pool.QueryRow(ctx, setErasureKey, projectID, sealed).Scan(&sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoProject
	}
	if err != nil {
		return nil, fmt.Errorf("store the erasure key: %w", err)
	}
	return openErasureKey(s.keyring, projectID, sealed)
}

const erasureKeyPurpose = "erasure key"

func sealErasureKey(keyring *seal.Keyring, projectID uuid.UUID, key []byte) ([]byte, error) {
	sealed, err := keyring.Seal(key, erasureKeyPurpose, projectID.String())
	if err != nil {
		return nil, fmt.Errorf("seal the erasure key: %w", err)
	}
	return sealed, nil
}

// openErasureKey returns nil for a project without a key.
func openErasureKey(keyring *seal.Keyring, projectID uuid.UUID, sealed []byte) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	key, err := keyring.Open(sealed, erasureKeyPurpose, projectID.String())
	if err != nil {
		return nil, fmt.Errorf("open the erasure key: %w", err)
	}
	return key, nil
}

// SealErasure seals what an erasure knows of its subject while it runs.
func (s *Store) SealErasure(projectID, erasureID uuid.UUID, plain []byte) ([]byte, error) {
	sealed, err := s.keyring.Seal(plain, "erasure", projectID.String(), erasureID.String())
	if err != nil {
		return nil, fmt.Errorf("seal the subject of an erasure: %w", err)
	}
	return sealed, nil
}

// OpenErasure opens what SealErasure has made.
func (s *Store) OpenErasure(projectID, erasureID uuid.UUID, sealed []byte) ([]byte, error) {
	plain, err := s.keyring.Open(sealed, "erasure", projectID.String(), erasureID.String())
	if err != nil {
		return nil, fmt.Errorf("open the subject of an erasure: %w", err)
	}
	return plain, nil
}

const (
	selectSealedErasures = `
		SELECT p.id AS project_id, NULL::uuid AS erasure_id, p.erasure_key_sealed AS sealed
		FROM authsync.projects AS p WHERE p.erasure_key_sealed IS NOT NULL
		UNION ALL
		SELECT e.project_id, e.id, e.subject_sealed
		FROM authsync.erasures AS e WHERE e.subject_sealed IS NOT NULL`

	resealErasureKey = `
		UPDATE authsync.projects SET erasure_key_sealed = $3 WHERE id = $1 AND erasure_key_sealed = $2`

	resealErasure = `
		UPDATE authsync.erasures SET subject_sealed = $3 WHERE project_id = $1 AND subject_sealed = $2 AND id = $4`
)

// resealErasures is the part of Reseal that is about erasures.
func (s *Store) resealErasures(ctx context.Context) (resealed int, closed []error, err error) {
	type sealedErasure struct {
		ProjectID uuid.UUID
		ErasureID *uuid.UUID // nil: the key of the project's erasures
		Sealed    []byte
	}
	rows, err := s.pool.Query(ctx, selectSealedErasures)
	if err != nil {
		return 0, nil, fmt.Errorf("list sealed erasures: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedErasure])
	if err != nil {
		return 0, nil, fmt.Errorf("list sealed erasures: %w", err)
	}
	for _, row := range all {
		if s.keyring.IsNewest(row.Sealed) {
			continue
		}
		var plain, newer []byte
		query, args := resealErasureKey, []any{row.ProjectID, row.Sealed}
		if row.ErasureID == nil {
			if plain, err = openErasureKey(s.keyring, row.ProjectID, row.Sealed); err == nil {
				newer, err = sealErasureKey(s.keyring, row.ProjectID, plain)
			}
		} else if plain, err = s.OpenErasure(row.ProjectID, *row.ErasureID, row.Sealed); err == nil {
			newer, err = s.SealErasure(row.ProjectID, *row.ErasureID, plain)
		}
		if err != nil {
			closed = append(closed, err)
			continue
		}
		if args = append(args, newer); row.ErasureID != nil {
			query, args = resealErasure, append(args, *row.ErasureID)
		}
		if _, err := s.pool.Exec(ctx, query, args...); err != nil {
			return resealed, closed, fmt.Errorf("store resealed row: %w", err)
		}
		resealed++
	}
	return resealed, closed, nil
}
