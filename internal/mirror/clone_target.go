package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// CloneTarget is a database that is to become a clone.
type CloneTarget struct {
	URL, SourceURL string
	SourceID       uuid.UUID
	// Adopt allows a mirror with records: that of a copy of the source's database, or one that is nobody's.
	Adopt bool
}

const (
	selectIsClone = `SELECT EXISTS (SELECT FROM capydb_auth.clone_progress AS c WHERE c.source_id = $1)`

	selectHasClones = `
		SELECT EXISTS (
			SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname = 'capydb_auth' AND c.relname = 'clone_progress')`

	selectHasRecords = `
		SELECT EXISTS (SELECT FROM capydb_auth.users) OR EXISTS (SELECT FROM capydb_auth.organizations)
		    OR EXISTS (SELECT FROM capydb_auth.memberships) OR EXISTS (SELECT FROM capydb_auth.invitations)
		    OR EXISTS (SELECT FROM capydb_auth.sessions) OR EXISTS (SELECT FROM capydb_auth.changes)`

	holdLock = `SELECT pg_catalog.pg_advisory_xact_lock($1)`
	tryLock  = `SELECT pg_catalog.pg_try_advisory_xact_lock($1)`
)

// CheckCloneTarget returns an error if a database must not become a clone, and changes nothing there. Errors: pgdb.ErrControlDatabase,
// *pgdb.OwnedError, pgdb.ErrSourceDatabase, pgdb.ErrMirrorNotEmpty; others can be shown to the person who gave the URL.
func (m *Mirrors) CheckCloneTarget(ctx context.Context, t CloneTarget) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.SetupTimeout)
	defer cancel()
	conn, err := m.connect(ctx, t.URL, uuid.Nil)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	found, err := contentsOf(ctx, conn)
	switch {
	case err != nil:
		return err
	case found.IsControl:
		return pgdb.ErrControlDatabase
	case !found.IsOurs:
		return nil
	}
	ofSource, err := hasOwner(ctx, conn, t.SourceID)
	if err != nil {
		return err
	}
	if ofSource {
		if err := m.differ(ctx, conn, t); err != nil {
			return err
		}
		if !t.Adopt {
			return &pgdb.OwnedError{Owner: t.SourceID}
		}
	}
	var has, is bool
	if err := conn.QueryRow(ctx, selectHasClones).Scan(&has); err != nil {
		return fmt.Errorf("look whether the mirror is a clone: %w", err)
	}
	if has {
		if err := conn.QueryRow(ctx, selectIsClone, t.SourceID).Scan(&is); err != nil {
			return fmt.Errorf("look whether the mirror is a clone: %w", err)
		}
	}
	if is || t.Adopt {
		return nil
	}
	if err := conn.QueryRow(ctx, selectHasRecords).Scan(&has); err != nil {
		return fmt.Errorf("look whether the mirror is empty: %w", err)
	}
	if has {
		return pgdb.ErrMirrorNotEmpty
	}
	return nil
}

// differ returns pgdb.ErrSourceDatabase if a connection leads to the source's database: a lock that is held in the one is held in the
// other. Addresses do not tell, and neither does what is in a database that may be a copy.
func (m *Mirrors) differ(ctx context.Context, target *pgx.Conn, t CloneTarget) error {
	source, err := m.connect(ctx, t.SourceURL, t.SourceID)
	if err != nil {
		return fmt.Errorf("the mirror there is that of the project that is to be cloned, whose own database cannot be reached to see whether "+
			"this is another one: %w", err)
	}
	defer disconnect(ctx, source)
	key := rand.Int64()
	return pgx.BeginFunc(ctx, target, func(tx pgx.Tx) error {
		var free bool
		_, err := tx.Exec(ctx, holdLock, key)
		if err == nil {
			err = source.QueryRow(ctx, tryLock, key).Scan(&free)
		}
		if err != nil {
			return fmt.Errorf("look whether it is the same database: %w", err)
		}
		if !free {
			return pgdb.ErrSourceDatabase
		}
		return nil
	})
}
