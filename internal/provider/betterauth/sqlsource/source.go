// Package sqlsource reads the users of a Better Auth server from its tables. It is the only source
// that is a database, often the same one as the mirror's.
//
// The walk follows the primary key, in its own type. It can be interrupted and continued in another
// process, so it is not a single snapshot: it misses users created during the walk with an id
// before its place. A user that User does not find is certainly gone; one that a walk missed need
// not be.
//
// It keeps nothing either: the position of a walk is its caller's, who continues it if the process
// dies.
package sqlsource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	pageSize = 500
	mode     = "sql"
)

// Config configures a source. Pool is required.
type Config struct {
	Pool *pgxpool.Pool
	// What is the name of the pool's URL in errors; empty means credentials.database_url.
	What string
	// Owned means that Close closes the pool.
	Owned  bool
	Tables provider.UserTables
	// Mark is the mark of the account; empty: it is that of the database and the table.
	Mark string
	// Project is whose changes are caught; see Follow.
	Project uuid.UUID
	// Every is the interval between two looks for changes; 0 means 1 s.
	Every time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

type source struct {
	Config

	queries atomic.Pointer[queries] // nil until the tables were examined
}

// New creates a source without querying the database. The source is an io.Closer.
func New(c Config) userapi.Source {
	c.What = cmp.Or(c.What, "credentials.database_url")
	c.Tables.Schema = cmp.Or(c.Tables.Schema, "public")
	c.Tables.UserTable = cmp.Or(c.Tables.UserTable, "user")
	c.Every = cmp.Or(c.Every, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return &source{Config: c}
}

// Close closes the pool if the source owns it.
func (s *source) Close() error {
	if s.Owned {
		s.Pool.Close()
	}
	return nil
}

// selectIdentity names a server's data directory, which a copy made by pg_dump does not share, and the database in it.
const selectIdentity = `SELECT system_identifier::text || '/' || current_database() FROM pg_control_system()`

// AccountMark names the database and the table.
func (s *source) AccountMark(ctx context.Context) (string, error) {
	if s.Mark != "" {
		return s.Mark, nil
	}
	var database string
	err := s.Pool.QueryRow(ctx, selectIdentity).Scan(&database)
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege || pgdb.Code(err) == pgerrcode.UndefinedFunction {
		of := s.Pool.Config().ConnConfig
		database, err = of.Host+":"+strconv.Itoa(int(of.Port))+"/"+of.Database, nil
	}
	if err != nil {
		return "", s.explain(ctx, "identify the database", err)
	}
	return "postgresql:" + database + "/" + s.Tables.Schema + "." + s.Tables.UserTable, nil
}

// place is the last id read, as text.
type place struct {
	Mode string  `json:"mode"`
	ID   *string `json:"id"`

	// Mark detects a view or server that returns the same rows again.
	userapi.Mark
}

// Count returns the number of users.
func (s *source) Count(ctx context.Context) (n int64, ok bool, err error) {
	q, err := s.look(ctx)
	if err != nil {
		return 0, false, err
	}
	if err := s.Pool.QueryRow(ctx, q.count).Scan(&n); err != nil {
		return 0, false, s.explain(ctx, "count the users", err)
	}
	return n, true, nil
}

// row is a user as returned by the queries.
type row struct {
	ID           string
	Object       json.RawMessage
	LastSignInAt *time.Time
}

// Page reads up to 500 users.
func (s *source) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	at := place{Mode: mode}
	if cursor != "" {
		at = place{}
		if err := userapi.DecodeCursor(cursor, &at); err != nil {
			return userapi.Page{}, err
		}
		if at.Mode != mode || at.ID == nil {
			return userapi.Page{}, userapi.ForeignCursor()
		}
	}
	q, err := s.look(ctx)
	if err != nil {
		return userapi.Page{}, err
	}
	readAt := s.Now()
	var rows []row
	if at.ID == nil {
		rows, err = s.rows(ctx, q.first, pageSize)
	} else {
		rows, err = s.rows(ctx, q.next, pageSize, *at.ID)
	}
	if at.ID != nil && s.isBadID(ctx, err, q.id, *at.ID) {
		return userapi.Page{}, userapi.ForeignCursor()
	}
	if err != nil {
		return userapi.Page{}, s.explain(ctx, "read users", err)
	}
	var page userapi.Page
	for _, r := range rows {
		page.Users = append(page.Users, r.user(readAt))
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	if at.Repeats(ids) {
		return userapi.Page{}, userapi.NoProgress("the tables", "behind one user they give users again that stood before", at.Offset, 0)
	}
	if len(rows) == pageSize {
		at.ID = &rows[len(rows)-1].ID
		at.Add(ids)
		at.Offset += pageSize
		page.Next, err = userapi.EncodeCursor(at)
	}
	return page, err
}

// User reads one user.
func (s *source) User(ctx context.Context, id string) (userapi.User, error) {
	q, err := s.look(ctx)
	if err != nil {
		return userapi.User{}, err
	}
	readAt := s.Now()
	rows, err := s.rows(ctx, q.one, 1, id)
	switch {
	case err == nil && len(rows) == 0, s.isBadID(ctx, err, q.id, id): // an id that the column's type cannot hold is no user's
		return userapi.User{}, userapi.ErrGone
	case err != nil:
		return userapi.User{}, s.explain(ctx, "read a user", err)
	default:
		return rows[0].user(readAt), nil
	}
}

func (s *source) rows(ctx context.Context, query string, args ...any) ([]row, error) {
	rows, err := s.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[row])
}

func (r row) user(readAt time.Time) userapi.User {
	return userapi.User{Object: r.Object, FetchedAt: readAt, LastSignInAt: r.LastSignInAt}
}

// isBadID reports whether a query failed because a text is not a value of the id column's type. What
// a row of a view holds may cause the same error, so cast casts the text alone.
func (s *source) isBadID(ctx context.Context, err error, cast, id string) bool {
	if !isBadText(err) {
		return false
	}
	_, err = s.Pool.Exec(ctx, cast, id)
	return isBadText(err)
}

// isBadText reports whether a text is not a value of the type that it was cast to.
func isBadText(err error) bool {
	switch pgdb.Code(err) {
	case "22P02", // invalid_text_representation
		"22003", // numeric_value_out_of_range
		"22021": // character_not_in_repertoire
		return true
	default:
		return false
	}
}

// look reads the definition of the tables, usually once, and builds the queries.
func (s *source) look(ctx context.Context) (*queries, error) {
	if q := s.queries.Load(); q != nil {
		return q, nil
	}
	users, err := s.table(ctx, s.Tables.UserTable)
	if err != nil {
		return nil, err
	}
	sessions, err := s.sessionTable(ctx)
	if err != nil {
		return nil, err
	}
	q, err := newQueries(users, sessions, s.Tables)
	if err != nil {
		return nil, err
	}
	s.queries.Store(q)
	return q, nil
}

// sessionTable examines the session table. Unless configured, it may be missing or unreadable: the
// last sign-in is then unknown.
func (s *source) sessionTable(ctx context.Context) (*table, error) {
	sessions, err := s.table(ctx, cmp.Or(s.Tables.SessionTable, "session"))
	if err == nil {
		return sessions, nil
	}
	if s.Tables.SessionTable == "" && (errors.Is(err, errNoTable) || errors.Is(err, errHidden)) {
		return nil, nil //nolint:nilnil // no table is no error
	}
	return nil, err
}
