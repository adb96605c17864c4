package project

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	selectSealed = `
		SELECT id AS project_id, '' AS provider, NULL::uuid AS destination_id, database_url_sealed AS sealed
		FROM authsync.projects
		UNION ALL
		SELECT project_id, provider, NULL, credentials_sealed
		FROM authsync.integrations
		UNION ALL
		SELECT project_id, '', id, secrets_sealed
		FROM authsync.destinations
		ORDER BY project_id, provider, destination_id NULLS FIRST`

	// A row that changed in the meantime was sealed by the process that changed it; if that process
	// had an older key, the next run finds it.
	resealProject = `
		UPDATE authsync.projects SET database_url_sealed = $3
		WHERE id = $1 AND database_url_sealed = $2`

	resealIntegration = `
		UPDATE authsync.integrations SET credentials_sealed = $3
		WHERE project_id = $1 AND credentials_sealed = $2 AND provider = $4`

	resealDestination = `
		UPDATE authsync.destinations SET secrets_sealed = $3
		WHERE project_id = $1 AND secrets_sealed = $2 AND id = $4`
)

type sealedRow struct {
	ProjectID     uuid.UUID
	Provider      string     // of an integration
	DestinationID *uuid.UUID // of a destination; with neither, the row is a project
	Sealed        []byte
}

// Reseal re-encrypts everything sealed with an older key with the newest one and returns how many
// rows it changed. After it succeeds, and once no running process has only the older keys, those
// can be removed from AUTHSYNC_ENCRYPTION_KEY. It can be interrupted and run again. It skips what
// it cannot decrypt and names it in the error.
func (s *Store) Reseal(ctx context.Context) (resealed int, err error) {
	rows, err := s.pool.Query(ctx, selectSealed)
	if err != nil {
		return 0, fmt.Errorf("list sealed rows: %w", err)
	}
	sealed, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
	if err != nil {
		return 0, fmt.Errorf("list sealed rows: %w", err)
	}

	var closed []error
	for _, row := range sealed {
		if s.keyring.IsNewest(row.Sealed) {
			continue
		}
		newer, err := s.resealed(row)
		if err != nil {
			closed = append(closed, err)
			continue
		}
		if err := s.replaceSealed(ctx, row, newer); err != nil {
			return resealed, err
		}
		resealed++
	}
	more, alsoClosed, err := s.resealErasures(ctx)
	if err != nil {
		return resealed + more, err
	}
	return resealed + more, errors.Join(append(closed, alsoClosed...)...)
}

func (s *Store) resealed(row sealedRow) ([]byte, error) {
	if row.DestinationID != nil {
		plain, err := openPlain(s.keyring, row.ProjectID, *row.DestinationID, row.Sealed)
		if err != nil {
			return nil, err
		}
		return sealSecrets(s.keyring, row.ProjectID, *row.DestinationID, plain)
	}
	if row.Provider == "" {
		url, err := openURL(s.keyring, row.ProjectID, row.Sealed)
		if err != nil {
			return nil, err
		}
		return s.sealURL(row.ProjectID, url)
	}
	plain, err := openCredentials(s.keyring, row.ProjectID, row.Provider, row.Sealed)
	if err != nil {
		return nil, err
	}
	return s.sealCredentials(row.ProjectID, row.Provider, plain)
}

func (s *Store) replaceSealed(ctx context.Context, row sealedRow, newer []byte) error {
	query, args := resealProject, []any{row.ProjectID, row.Sealed, newer}
	switch {
	case row.DestinationID != nil:
		query, args = resealDestination, append(args, *row.DestinationID)
	case row.Provider != "":
		query, args = resealIntegration, append(args, row.Provider)
	}
	if _, err := s.pool.Exec(ctx, query, args...); err != nil {
		return fmt.Errorf("store resealed row: %w", err)
	}
	return nil
}
