package project

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/retention"
)

const (
	selectProjectByID = `
		SELECT id, name, database_url_sealed, created_at, keep_inbox, keep_ledger, keep_changes, keep_deliveries
		FROM authsync.projects WHERE id = $1`

	selectProjectByName = `
		SELECT id, name, database_url_sealed, created_at, keep_inbox, keep_ledger, keep_changes, keep_deliveries
		FROM authsync.projects WHERE name = $1`

	selectProjects = `
		SELECT id, name, database_url_sealed, created_at, keep_inbox, keep_ledger, keep_changes, keep_deliveries
		FROM authsync.projects
		WHERE name > $1 AND ($2::uuid IS NULL OR id = $2)
		ORDER BY name LIMIT $3`

	insertProject = `
		INSERT INTO authsync.projects (id, name, database_url_sealed, keep_inbox, keep_ledger, keep_changes, keep_deliveries)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		RETURNING created_at`

	updateProject = `
		UPDATE authsync.projects
		SET name = coalesce($2, name), database_url_sealed = coalesce($3, database_url_sealed),
			keep_inbox = $4, keep_ledger = $5, keep_changes = $6, keep_deliveries = $7
		WHERE id = $1
		RETURNING id, name, database_url_sealed, created_at, keep_inbox, keep_ledger, keep_changes, keep_deliveries`

	lockSettings = `
		SELECT keep_inbox, keep_ledger, keep_changes, keep_deliveries
		FROM authsync.projects WHERE id = $1 FOR NO KEY UPDATE`

	// Input is merged with the stored row, and destinations are counted.
	lockProject = `
		SELECT id FROM authsync.projects WHERE id = $1 FOR NO KEY UPDATE`

	removeProject = `SELECT authsync.remove_project($1)`
)

type projectRow struct {
	ID                uuid.UUID
	Name              string
	DatabaseURLSealed []byte
	CreatedAt         time.Time
	KeepInbox         *int
	KeepLedger        *int
	KeepChanges       *int
	KeepDeliveries    *int
}

// NewProject is a project to be made.
type NewProject struct {
	Name        string
	DatabaseURL string // empty: a database is created
	Adopt       bool
	Keep        Keep
}

// Create creates a project. It installs the mirror in the database of the URL, so that a
// wrong URL is reported immediately. With an empty URL it creates a database on the control
// server, named after the control database and the project.
//
// A mirror has one owner. adopt makes this project the owner of a mirror that belonged to another:
// a deleted project, or the original of a copied database.
//
// Errors: fault.Invalid, fault.DatabaseUnusable, ErrNameTaken, ErrDatabaseExists. If the process
// dies midway, either the project exists with its database, or neither does (a database without data
// named …_new_… may be left behind and is harmless; a mirror that was installed must then be
// adopted).
func (s *Store) Create(ctx context.Context, in NewProject) (Project, error) {
	return s.create(ctx, creation{NewProject: in})
}

// creation is a project to be created, and what belongs to it.
type creation struct {
	NewProject

	keep  retention.Settings                                              // what Keep comes to
	check func(ctx context.Context, databaseURL string) error             // of a given database, before anything is done there; or nil
	then  func(ctx context.Context, tx pgx.Tx, projectID uuid.UUID) error // in the transaction that creates the project; or nil
}

func (s *Store) create(ctx context.Context, c creation) (Project, error) {
	if err := checkName("project", c.Name); err != nil {
		return Project{}, err
	}
	var err error
	if c.keep, err = c.Keep.over(retention.Settings{}, s.retention); err != nil {
		return Project{}, err
	}
	_, err = s.FindProject(ctx, c.Name)
	switch {
	case err == nil:
		return Project{}, ErrNameTaken
	case !errors.Is(err, ErrNoProject):
		return Project{}, err
	}
	if c.DatabaseURL == "" {
		return s.createWithDatabase(ctx, c)
	}
	databaseURL, err := s.givenURL(c.DatabaseURL)
	if err != nil {
		return Project{}, err
	}
	if c.check != nil {
		if err := c.check(ctx, databaseURL); err != nil {
			return Project{}, err
		}
	}
	id := uuid.New()
	if err := s.install(ctx, databaseURL, id, c.Adopt); err != nil {
		return Project{}, err
	}
	var p Project
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err = s.insert(ctx, tx, c, id, databaseURL)
		return err
	})
	if err != nil {
		s.release(ctx, databaseURL, id)
	}
	return p, err
}

// CreateProject is Create with the settings that every project has.
func (s *Store) CreateProject(ctx context.Context, name, databaseURL string, adopt bool) (Project, error) {
	return s.Create(ctx, NewProject{Name: name, DatabaseURL: databaseURL, Adopt: adopt})
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (s *Store) insert(ctx context.Context, tx pgx.Tx, c creation, id uuid.UUID, url string) (Project, error) {
	p := Project{ID: id, Name: c.Name, Keep: c.keep, Database: s.tenants.SafeURL(url), Kept: periods(c.keep, s.retention)}
	sealed, err := s.sealURL(p.ID, url)
	if err != nil {
		return Project{}, err
	}
	rows, err := tx.Query(ctx, insertProject, p.ID, p.Name, sealed,
		p.Keep.Inbox, p.Keep.Ledger, p.Keep.Changes, p.Keep.Deliveries)
	if err == nil {
		p.CreatedAt, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
	}
	if pgdb.Code(err) == pgerrcode.UniqueViolation {
		return Project{}, ErrNameTaken
	}
	if err != nil {
		return Project{}, fmt.Errorf("insert project: %w", err)
	}
	if c.then != nil {
		if err := c.then(ctx, tx, id); err != nil {
			return Project{}, err
		}
	}
	return p, nil
}

// FindProject finds a project by id or name. The error is ErrNoProject if there is none.
func (s *Store) FindProject(ctx context.Context, idOrName string) (Project, error) {
	var row projectRow
	var err error
	if id, ok := parseID(idOrName); ok {
		row, err = s.projectRow(ctx, selectProjectByID, id)
	} else {
		row, err = s.projectRow(ctx, selectProjectByName, idOrName)
	}
	if err != nil {
		return Project{}, err
	}
	return s.project(row), nil
}

// ListProjects lists at most limit projects after the cursor, by name; next is empty at the end. If
// only is set, it lists only that project.
func (s *Store) ListProjects(ctx context.Context, only *uuid.UUID, cursor string, limit int) (projects []Project, next string, err error) {
	after := ""
	if cursor != "" {
		if after, err = decodeCursor("projects", cursor); err != nil {
			return nil, "", err
		}
	}
	rows, err := s.pool.Query(ctx, selectProjects, after, only, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list projects: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[projectRow])
	if err != nil {
		return nil, "", fmt.Errorf("list projects: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		next = encodeCursor("projects", found[limit-1].Name)
	}
	projects = make([]Project, len(found))
	for i, row := range found {
		projects[i] = s.project(row)
	}
	return projects, next, nil
}

// ProjectChange holds the changes to a project; nil means unchanged.
type ProjectChange struct { //nolint:revive // it is a change of a project, and Change says less
	Name *string
	// DatabaseURL moves a project to another database, or changes how to connect to the same one,
	// for example with a new password.
	DatabaseURL *string
	Adopt       bool // see Create
	Keep        Keep
}

// UpdateProject changes a project. It first installs the mirror in the database of a new URL. Data
// in the old database is not moved, and its mirror stays the project's, because the new URL may
// lead to the same database. Errors are those of CreateProject, and ErrNoProject.
func (s *Store) UpdateProject(ctx context.Context, projectID uuid.UUID, c ProjectChange) (Project, error) {
	if c.Name != nil {
		if err := checkName("project", *c.Name); err != nil {
			return Project{}, err
		}
	}
	var sealed []byte
	if c.DatabaseURL != nil {
		url, err := s.givenURL(*c.DatabaseURL)
		if err != nil {
			return Project{}, err
		}
		row, err := s.projectRow(ctx, selectProjectByID, projectID)
		if err != nil {
			return Project{}, err
		}
		if _, err := c.Keep.over(row.keep(), s.retention); err != nil { // before anything is changed
			return Project{}, err
		}
		if err := s.install(ctx, url, projectID, c.Adopt); err != nil {
			return Project{}, err
		}
		if sealed, err = s.sealURL(projectID, url); err != nil {
			return Project{}, err
		}
	}
	var row projectRow
	err := pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		row, err = s.update(ctx, tx, projectID, c, sealed)
		return err
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Project{}, ErrNoProject
	case pgdb.Code(err) == pgerrcode.UniqueViolation:
		return Project{}, ErrNameTaken
	case fault.Is(err, fault.Invalid):
		return Project{}, err
	case err != nil:
		return Project{}, fmt.Errorf("update project: %w", err)
	}
	return s.project(row), nil
}

// update merges the change with the stored row, which nobody else changes meanwhile.
func (s *Store) update(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, c ProjectChange, sealed []byte) (projectRow, error) {
	rows, err := tx.Query(ctx, lockSettings, projectID)
	if err != nil {
		return projectRow{}, err
	}
	stored, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[retention.Settings])
	if err != nil {
		return projectRow{}, err
	}
	k, err := c.Keep.over(stored, s.retention)
	if err != nil {
		return projectRow{}, err
	}
	if rows, err = tx.Query(ctx, updateProject, projectID, c.Name, sealed, k.Inbox, k.Ledger, k.Changes, k.Deliveries); err != nil {
		return projectRow{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[projectRow])
}

// DeleteProject detaches a project: its integrations and keys are deleted, and its webhooks are
// rejected. Its database stays, with the mirror, which another project may use from now on if the
// database is reachable. Errors: ErrNoProject; fault.WrongState while clones read its mirror.
func (s *Store) DeleteProject(ctx context.Context, projectID uuid.UUID) error {
	databaseURL, urlErr := s.DatabaseURL(ctx, projectID)
	var was bool
	err := s.pool.QueryRow(ctx, removeProject, projectID).Scan(&was)
	if constraintOf(err) == cloneSourceCheck {
		return s.followed(ctx, projectID)
	}
	if err != nil {
		return fmt.Errorf("delete project: %w", err)
	}
	if !was {
		return ErrNoProject
	}
	if urlErr == nil {
		s.release(ctx, databaseURL, projectID)
	}
	return nil
}

// ConnectionURL returns the URL of a project's database for psql, including the password.
func (s *Store) ConnectionURL(ctx context.Context, projectID uuid.UUID) (string, error) {
	stored, err := s.DatabaseURL(ctx, projectID)
	if err != nil {
		return "", err
	}
	return s.tenants.URL(stored)
}

// Tenants connects with the URLs that DatabaseURL returns.
func (s *Store) Tenants() *pgdb.Tenants { return s.tenants }

// DatabaseURL returns the stored connection URL of a project's database, for pgdb.Tenants. The
// error is ErrNoProject if there is no such project.
func (s *Store) DatabaseURL(ctx context.Context, projectID uuid.UUID) (string, error) {
	row, err := s.projectRow(ctx, selectProjectByID, projectID)
	if err != nil {
		return "", err
	}
	return openURL(s.keyring, projectID, row.DatabaseURLSealed)
}

func (s *Store) projectRow(ctx context.Context, query string, arg any) (projectRow, error) {
	rows, err := s.pool.Query(ctx, query, arg)
	if err != nil {
		return projectRow{}, fmt.Errorf("find project: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[projectRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return projectRow{}, ErrNoProject
	}
	if err != nil {
		return projectRow{}, fmt.Errorf("find project: %w", err)
	}
	return row, nil
}

// lockTheProject serializes changes of a project's integrations and destinations.
func lockTheProject(ctx context.Context, tx pgx.Tx, projectID uuid.UUID) error {
	rows, err := tx.Query(ctx, lockProject, projectID)
	if err == nil {
		_, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[uuid.UUID])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoProject
	}
	if err != nil {
		return fmt.Errorf("lock project: %w", err)
	}
	return nil
}

func (s *Store) project(row projectRow) Project {
	p := Project{ID: row.ID, Name: row.Name, CreatedAt: row.CreatedAt, Keep: row.keep(), Kept: periods(row.keep(), s.retention)}
	if url, err := openURL(s.keyring, row.ID, row.DatabaseURLSealed); err == nil {
		p.Database = s.tenants.SafeURL(url)
	}
	return p
}

// parseID accepts only the form of a UUID that the server returns; other forms, such as 32 digits
// without dashes, may be names.
func parseID(text string) (uuid.UUID, bool) {
	id, err := uuid.Parse(text)
	return id, err == nil && len(text) == len(id.String())
}

func checkName(what, name string) error {
	if ok, _ := regexp.MatchString(`^[a-z0-9][a-z0-9_-]{0,62}$`, name); !ok {
		return invalid("name is %.80q: must be 1 to 63 characters of a-z, 0-9, _ and -, and begin with a letter or digit", name)
	}
	if _, ok := parseID(name); ok {
		return invalid("name is %q: must not look like the id of a %s", name, what)
	}
	return nil
}

// givenURL checks a database URL that a person gave.
func (s *Store) givenURL(databaseURL string) (string, error) {
	tidy, err := s.tenants.Check(databaseURL)
	if err != nil {
		return "", invalid("database_url %v", err)
	}
	return tidy, nil
}
