package project

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	destinationColumns = `
		d.id, d.project_id, d.name, d.type, d.event_types, d.fields, d.condition, d.holdback, d.options, d.secrets_sealed,
		d.state, d.state_by, d.state_reason, d.state_since, d.filter_halted, d.created_at, d.updated_at`

	selectDestinations = `
		SELECT` + destinationColumns + `
		FROM authsync.destinations AS d
		WHERE d.project_id = $1
		ORDER BY d.name`

	selectDestination = `
		SELECT` + destinationColumns + `
		FROM authsync.destinations AS d
		WHERE d.project_id = $1 AND ((d.id = $2 AND $3 = '') OR d.name = $3)`

	selectDestinationByID = `
		SELECT` + destinationColumns + `
		FROM authsync.destinations AS d
		WHERE d.id = $1`

	countDestinations = `
		SELECT count(*) FROM authsync.destinations WHERE project_id = $1`

	insertDestination = `
		INSERT INTO authsync.destinations AS d (id, project_id, name, type, event_types, fields, condition, options, secrets_sealed, holdback)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		RETURNING` + destinationColumns

	updateDestination = `
		UPDATE authsync.destinations AS d
		SET name = $2, event_types = $3, fields = $4, condition = $5, options = $6, secrets_sealed = $7, holdback = $8,
		    updated_at = now(),
		    filter_halted = d.filter_halted AND d.event_types = $3 AND d.fields = $4 AND d.condition IS NOT DISTINCT FROM $5
		WHERE d.id = $1
		RETURNING` + destinationColumns

	requestRelay = `SELECT authsync.request_relay($1)`

	removeDestination = `SELECT authsync.remove_destination($1)`
)

// The states of a destination, and who sets them.
const (
	Active   = "active"
	Paused   = "paused"
	Disabled = "disabled"

	ByPerson   = "user"
	ByAuthsync = "system"
)

// Destination is where a project's changes are sent on to, as it may be shown.
type Destination struct {
	ID, ProjectID      uuid.UUID
	Name, Type         string
	EventTypes, Fields []string        // which changes it wants; no fields: whatever changed
	Condition          *string         // a jq expression that must hold; nil: none
	Holdback           *time.Duration  // how long a deletion is held back; nil: it is sent at once
	Options            json.RawMessage // an object
	// Secrets tells which secrets are set, by name. Nil where they cannot be opened; Fault says why.
	Secrets     map[string]SecretState
	Fault       string
	State       string // Active, Paused or Disabled
	StateBy     string // ByPerson or ByAuthsync
	StateReason *string
	StateSince  time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// SecretState tells that a secret is set, and until when the one before it is valid too.
type SecretState struct {
	Set      bool
	OldUntil *time.Time
}

// MadeSecret is a secret that was made for a person, who sees it this once.
type MadeSecret struct {
	Name  string
	Value string
}

// InTx is what belongs to the same transaction as a new destination. It calls no database or server but the
// control database: a tenant's may be slow, and would keep the transaction and its locks for as long.
type InTx func(ctx context.Context, tx pgx.Tx, d Destination) error

// Prepare finds out what a new destination needs to know of the project's database, before the
// transaction that makes it.
type Prepare func(ctx context.Context) (InTx, error)

type destinationRow struct {
	ID, ProjectID      uuid.UUID
	Name, Type         string
	EventTypes, Fields []string
	Condition          *string
	Holdback           *time.Duration
	Options            json.RawMessage
	SecretsSealed      []byte
	State              string
	StateBy            string
	StateReason        *string
	StateSince         time.Time
	FilterHalted       bool
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// CreateDestination stores a new destination, with its secrets sealed, and does
// what belongs to it in the same transaction. Where its type makes a secret that
// was not given, that is returned, this once.
//
// Errors: ErrNoProject, ErrDestinationTaken, fault.Invalid, and those of prepare and what it returns.
func (s *Store) CreateDestination(
	ctx context.Context, projectID uuid.UUID, typeName string, in DestinationInput, prepare Prepare,
) (Destination, *MadeSecret, error) {
	made := destinationRow{ID: uuid.New(), ProjectID: projectID, Type: typeName, Options: json.RawMessage("{}")}
	secrets := destination.Secrets{Values: map[string]string{}}
	fresh, err := s.applyInput(&made, &secrets, in)
	if err != nil {
		return Destination{}, nil, err
	}
	if made.SecretsSealed, err = s.sealSecrets(made, secrets); err != nil {
		return Destination{}, nil, err
	}
	also, err := prepare(ctx)
	if err != nil {
		return Destination{}, nil, err
	}
	var d Destination
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTheProject(ctx, tx, projectID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, countDestinations, projectID)
		if err != nil {
			return fmt.Errorf("count destinations: %w", err)
		}
		count, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		if err != nil {
			return fmt.Errorf("count destinations: %w", err)
		}
		if count >= maxDestinations {
			return invalid("the project has %d destinations, which is the most there may be: remove one first", count)
		}
		row, err := writeDestination(ctx, tx, insertDestination, made.ID, projectID, made.Name, made.Type,
			made.EventTypes, made.Fields, made.Condition, made.Options, made.SecretsSealed, made.Holdback)
		if err != nil {
			return err
		}
		d = s.destination(row)
		return also(ctx, tx, d)
	})
	if err != nil {
		return Destination{}, nil, err
	}
	return d, fresh, nil
}

// DraftDestination checks a destination as CreateDestination does, and gives what would be stored; nothing is. A draft needs
// no name. Error: fault.Invalid.
func (s *Store) DraftDestination(projectID uuid.UUID, typeName string, in DestinationInput) (Destination, destination.Config, error) {
	row := destinationRow{ID: uuid.New(), ProjectID: projectID, Name: "draft", Type: typeName, Options: json.RawMessage("{}")}
	secrets := destination.Secrets{Values: map[string]string{}}
	if _, err := s.applyInput(&row, &secrets, in); err != nil {
		return Destination{}, destination.Config{}, err
	}
	return Destination{
		ID: row.ID, ProjectID: projectID, Name: row.Name, Type: row.Type, EventTypes: row.EventTypes, Fields: row.Fields,
		Condition: row.Condition, Holdback: row.Holdback, Options: row.Options,
	}, row.config(secrets), nil
}

// ListDestinations lists a project's destinations by name; there are few. The
// error is ErrNoProject if there is no such project.
func (s *Store) ListDestinations(ctx context.Context, projectID uuid.UUID) ([]Destination, error) {
	if _, err := s.projectRow(ctx, selectProjectByID, projectID); err != nil {
		return nil, err
	}
	rows, err := destinationRows(ctx, s.pool, selectDestinations, projectID)
	if err != nil {
		return nil, err
	}
	list := make([]Destination, len(rows))
	for i, row := range rows {
		list[i] = s.destination(row)
	}
	return list, nil
}

// FindDestination finds a project's destination by its id or its name. The
// error is ErrNoDestination if there is none.
func (s *Store) FindDestination(ctx context.Context, projectID uuid.UUID, idOrName string) (Destination, error) {
	row, err := findDestination(ctx, s.pool, selectDestination, projectID, idOrName)
	if err != nil {
		return Destination{}, err
	}
	return s.destination(row), nil
}

// UpdateDestination changes what is given of a destination; the rest stays.
// Members of options and secrets that are given replace those of their name, and
// those that are null go. Its state stays as it is.
//
// Errors: ErrNoDestination, ErrDestinationTaken, fault.Invalid, and those of
// seal.Keyring.Open if what is stored cannot be opened.
func (s *Store) UpdateDestination(ctx context.Context, projectID uuid.UUID, idOrName string, in DestinationInput) (Destination, error) {
	return s.changeDestination(ctx, projectID, idOrName, func(row *destinationRow, secrets *destination.Secrets) error {
		_, err := s.applyInput(row, secrets, in)
		return err
	})
}

// changeDestination locks a destination, changes it and stores it.
func (s *Store) changeDestination(
	ctx context.Context, projectID uuid.UUID, idOrName string, change func(*destinationRow, *destination.Secrets) error,
) (d Destination, err error) {
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		row, err := findDestination(ctx, tx, selectDestination+` FOR NO KEY UPDATE`, projectID, idOrName)
		if err != nil {
			return err
		}
		halted, held := row.FilterHalted, row.Holdback
		secrets, err := openSecrets(s.keyring, row.ProjectID, row.ID, row.SecretsSealed)
		if err != nil {
			return err
		}
		if err := change(&row, &secrets); err != nil {
			return err
		}
		if row.SecretsSealed, err = s.sealSecrets(row, secrets); err != nil {
			return err
		}
		row, err = writeDestination(ctx, tx, updateDestination, row.ID, row.Name,
			row.EventTypes, row.Fields, row.Condition, row.Options, row.SecretsSealed, row.Holdback)
		if err != nil {
			return err
		}
		d = s.destination(row)
		// The filter is another one: the changes that were kept back go on. Or what is held back may be due earlier.
		sooner := held != nil && (row.Holdback == nil || *row.Holdback < *held)
		if halted && !row.FilterHalted || sooner {
			if _, err := tx.Exec(ctx, requestRelay, row.ProjectID); err != nil {
				return fmt.Errorf("request the relay: %w", err)
			}
		}
		return nil
	})
	return d, err
}

// DeleteDestination removes a destination with its secrets and all its
// deliveries; what waits is not sent. The error is ErrNoDestination if it is gone.
func (s *Store) DeleteDestination(ctx context.Context, id uuid.UUID) error {
	var was bool
	if err := s.pool.QueryRow(ctx, removeDestination, id).Scan(&was); err != nil {
		return fmt.Errorf("delete destination: %w", err)
	}
	if !was {
		return ErrNoDestination
	}
	return nil
}

// OpenDestination gives a destination with what it takes to send to it, secrets
// included. Errors: ErrNoDestination, and those of seal.Keyring.Open.
func (s *Store) OpenDestination(ctx context.Context, id uuid.UUID) (Destination, destination.Config, error) {
	rows, err := destinationRows(ctx, s.pool, selectDestinationByID, id)
	if err != nil {
		return Destination{}, destination.Config{}, err
	}
	if len(rows) == 0 {
		return Destination{}, destination.Config{}, ErrNoDestination
	}
	secrets, err := openSecrets(s.keyring, rows[0].ProjectID, id, rows[0].SecretsSealed)
	if err != nil {
		return Destination{}, destination.Config{}, err
	}
	s.dropExpired(&secrets)
	return s.destination(rows[0]), rows[0].config(secrets), nil
}

func (r destinationRow) config(secrets destination.Secrets) destination.Config {
	return destination.Config{ID: r.ID, ProjectID: r.ProjectID, Name: r.Name, Options: r.Options, Secrets: secrets}
}

func (s *Store) destination(r destinationRow) Destination {
	d := Destination{
		ID: r.ID, ProjectID: r.ProjectID, Name: r.Name, Type: r.Type, EventTypes: r.EventTypes, Fields: r.Fields, Condition: r.Condition,
		Holdback: r.Holdback, Options: r.Options, State: r.State, StateBy: r.StateBy, StateReason: r.StateReason, StateSince: r.StateSince,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	secrets, err := openSecrets(s.keyring, r.ProjectID, r.ID, r.SecretsSealed)
	if err != nil {
		d.Fault = err.Error()
		return d
	}
	s.dropExpired(&secrets)
	d.Secrets = map[string]SecretState{}
	for name := range secrets.Values {
		d.Secrets[name] = SecretState{Set: true}
	}
	for name, old := range secrets.Old {
		d.Secrets[name] = SecretState{Set: true, OldUntil: &old.Until}
	}
	return d
}

func findDestination(ctx context.Context, db querier, query string, projectID uuid.UUID, idOrName string) (destinationRow, error) {
	id, name := uuid.Nil, idOrName
	if parsed, ok := parseID(idOrName); ok {
		id, name = parsed, ""
	}
	rows, err := destinationRows(ctx, db, query, projectID, id, name)
	if err != nil {
		return destinationRow{}, err
	}
	if len(rows) == 0 {
		return destinationRow{}, ErrNoDestination
	}
	return rows[0], nil
}

func destinationRows(ctx context.Context, db querier, query string, args ...any) ([]destinationRow, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("find destinations: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[destinationRow])
	if err != nil {
		return nil, fmt.Errorf("find destinations: %w", err)
	}
	return found, nil
}

func writeDestination(ctx context.Context, tx pgx.Tx, query string, args ...any) (destinationRow, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return destinationRow{}, fmt.Errorf("store destination: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[destinationRow])
	if pgdb.Code(err) == pgerrcode.UniqueViolation {
		return destinationRow{}, ErrDestinationTaken
	}
	if err != nil {
		return destinationRow{}, fmt.Errorf("store destination: %w", err)
	}
	return row, nil
}
