package schema

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// The bookkeeping tables that every installed schema has. Their comments distinguish them from a
// stranger's tables of the same name.
//
//	schema_migrations   golang-migrate's: the version of the tables
//	schema_code         the installed sql/, and which binaries can work with it
//	schema_objects      the record: what authsync created, and its definition then
//
// The record alone decides ownership: an object is authsync's if it is recorded, whatever its
// present definition and whoever wrote that.
const (
	migrationsComment = "Version of the tables of this schema (golang-migrate)."
	codeComment       = "Which functions, views and triggers of authsync are installed in this schema."
	objectsComment    = "What authsync created in this schema, and its definition then; anything else in the schema is left alone."
)

const createMigrationsTable = `
	CREATE TABLE IF NOT EXISTS %[1]s.schema_migrations (
		version bigint  NOT NULL,
		dirty   boolean NOT NULL,
		CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
	);
	COMMENT ON TABLE %[1]s.schema_migrations IS '` + migrationsComment + `'`

const createCodeTable = `
	CREATE TABLE %[1]s.schema_code (
		singleton         boolean     NOT NULL DEFAULT true,
		revision          integer     NOT NULL,
		hash              text        NOT NULL,
		applied_at        timestamptz NOT NULL DEFAULT now(),
		installed_at      timestamptz,
		version           bigint      NOT NULL DEFAULT 0,
		min_version       bigint      NOT NULL DEFAULT 0,
		min_river_version integer     NOT NULL DEFAULT 0,
		server_major      integer     NOT NULL DEFAULT current_setting('server_version_num')::integer / 10000,
		CONSTRAINT schema_code_pkey PRIMARY KEY (singleton),
		CONSTRAINT schema_code_singleton_check CHECK (singleton)
	);
	COMMENT ON TABLE %[1]s.schema_code IS '` + codeComment + `';
	COMMENT ON COLUMN %[1]s.schema_code.revision IS 'Grows whenever the code changes; a binary leaves newer code than its own alone.';
	COMMENT ON COLUMN %[1]s.schema_code.hash IS 'Digest of the code; empty while it is to be applied again.';
	COMMENT ON COLUMN %[1]s.schema_code.installed_at IS 'When the schema was made; NULL if that is not known any more.';
	COMMENT ON COLUMN %[1]s.schema_code.version IS 'The last migration applied, as in schema_migrations.';
	COMMENT ON COLUMN %[1]s.schema_code.min_version IS 'The migration that a binary must know to work with this schema.';
	COMMENT ON COLUMN %[1]s.schema_code.min_river_version IS 'The version of River''s tables that a binary must know.';
	COMMENT ON COLUMN %[1]s.schema_code.server_major IS 'The PostgreSQL that printed the definitions in schema_objects.'`

const createObjectsTable = `
	CREATE TABLE %[1]s.schema_objects (
		kind       text NOT NULL,
		identity   text NOT NULL,
		definition text NOT NULL,
		CONSTRAINT schema_objects_pkey PRIMARY KEY (kind, identity)
	);
	COMMENT ON TABLE %[1]s.schema_objects IS '` + objectsComment + `';
	COMMENT ON COLUMN %[1]s.schema_objects.definition IS 'What the catalog said of it when it was made; of code, a digest of that.'`

// quoted returns the quoted name of the schema, or of a table in it.
func (s source) quoted(table ...string) string {
	return pgx.Identifier(append([]string{s.kind.Name()}, table...)).Sanitize()
}

// footing describes which of the bookkeeping tables exist.
type footing struct {
	Schema                    bool    // it exists
	Migrations, Code, Objects *string // the table's comment; nil if the table does not exist
	River                     bool    // River's tables are there
}

const selectFooting = `
	SELECT to_regnamespace($1) IS NOT NULL AS schema,
	       (SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c
	        WHERE c.relnamespace = to_regnamespace($1) AND c.relname = 'schema_migrations') AS migrations,
	       (SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c
	        WHERE c.relnamespace = to_regnamespace($1) AND c.relname = 'schema_code') AS code,
	       (SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c
	        WHERE c.relnamespace = to_regnamespace($1) AND c.relname = 'schema_objects') AS objects,
	       EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = to_regnamespace($1) AND c.relname = 'river_migration') AS river`

// foreign returns the tables with those names that someone else created.
func (f footing) foreign(s source) []string {
	var found []string
	for _, t := range []struct {
		comment    *string
		name, ours string
	}{
		{f.Migrations, versionTable, migrationsComment}, {f.Code, "schema_code", codeComment}, {f.Objects, "schema_objects", objectsComment},
	} {
		if t.comment != nil && *t.comment != t.ours {
			found = append(found, "table "+s.kind.Name()+"."+t.name)
		}
	}
	return found
}

// prepare creates the schema and the missing bookkeeping tables. The record is created first, so
// that none of our objects ever exists without it. lost reports that the record had been lost.
//
// It checks first, because CREATE SCHEMA IF NOT EXISTS requires the CREATE privilege even if there
// is nothing to do.
func (in *installer) prepare(ctx context.Context) (lost bool, err error) {
	rows, err := in.conn.Query(ctx, selectFooting, in.kind.Name())
	if err != nil {
		return false, fmt.Errorf("look for schema %s: %w", in.kind.Name(), err)
	}
	has, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[footing])
	if err != nil {
		return false, fmt.Errorf("look for schema %s: %w", in.kind.Name(), err)
	}
	if foreign := has.foreign(in.source); len(foreign) > 0 {
		return false, in.foreignError(foreign)
	}
	if has.Migrations != nil && has.Code != nil && has.Objects != nil {
		return false, nil
	}
	lost = has.Objects == nil && has.Migrations != nil
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		return in.lay(ctx, tx, has, lost)
	})
	if err != nil {
		return false, fmt.Errorf("create schema %s: %w", in.kind.Name(), err)
	}
	if lost {
		in.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "schema_record_rebuilt", slog.String("schema", in.kind.Name()))
	}
	return lost, nil
}

func (in *installer) lay(ctx context.Context, tx pgx.Tx, has footing, lost bool) error {
	var statements []string
	if !has.Schema {
		comment := "authsync: inbox, projects and jobs."
		if in.kind == Project {
			comment = "authsync: the users of the identity provider. Read it, join it; only authsync writes to it."
		}
		statements = append(statements, `CREATE SCHEMA `+in.quoted(), `COMMENT ON SCHEMA `+in.quoted()+` IS '`+comment+`'`)
	}
	if has.Migrations == nil {
		statements = append(statements, fmt.Sprintf(createMigrationsTable, in.quoted()))
	}
	if lost && has.Code != nil { // its layout may be older; its contents are rebuilt
		statements = append(statements, `DROP TABLE `+in.quoted("schema_code"))
		has.Code = nil
	}
	if has.Code == nil {
		installed := "now()"
		if has.Migrations != nil {
			installed = "NULL"
		}
		statements = append(statements, fmt.Sprintf(createCodeTable, in.quoted()),
			`INSERT INTO `+in.quoted("schema_code")+` (revision, hash, installed_at) VALUES (0, '', `+installed+`)`)
	}
	if has.Objects == nil {
		statements = append(statements, fmt.Sprintf(createObjectsTable, in.quoted()))
	}
	_, err := tx.Exec(ctx, strings.Join(statements, ";\n"))
	return err
}

// record returns what authsync created.
func (s source) record(ctx context.Context, tx pgx.Tx) (definitions, error) {
	return readDefinitions(ctx, tx, `SELECT r.kind, r.identity, r.definition FROM `+s.quoted("schema_objects")+` AS r`)
}

// writeRecord replaces the record.
func (s source) writeRecord(ctx context.Context, tx pgx.Tx, record definitions) error {
	var kinds, identities, texts []string
	for o, definition := range record {
		kinds, identities, texts = append(kinds, o.Kind), append(identities, o.Identity), append(texts, definition)
	}
	table := s.quoted("schema_objects")
	_, err := tx.Exec(ctx, `
		WITH given AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS g (kind, identity, definition)),
		gone AS (
			DELETE FROM `+table+` AS r
			WHERE NOT EXISTS (SELECT FROM given AS g WHERE g.kind = r.kind AND g.identity = r.identity)
		)
		INSERT INTO `+table+` AS r (kind, identity, definition)
		SELECT g.kind, g.identity, g.definition FROM given AS g
		ON CONFLICT (kind, identity) DO UPDATE SET definition = excluded.definition WHERE r.definition <> excluded.definition`,
		kinds, identities, texts)
	if err != nil {
		return fmt.Errorf("record created objects: %w", err)
	}
	return nil
}

// recordTables records what migrations created or changed. before is the schema before them.
//
// The entry of an unchanged object is kept, so that a foreign modification is still detected. Of
// tables older than these migrations, only new parts are recorded: other columns and constraints
// may be the customer's.
func (in *installer) recordTables(ctx context.Context, before definitions, version uint) error {
	err := pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		record, err := in.record(ctx, tx)
		if err != nil {
			return err
		}
		after, err := in.readCatalog(ctx, tx)
		if err != nil {
			return err
		}
		sameServer, err := in.sameServer(ctx, tx)
		if err != nil {
			return err
		}
		ours := in.madeBetween(0, version)
		noted := maps.Clone(record)
		maps.DeleteFunc(noted, func(o object, _ string) bool {
			_, was := before[o]
			_, is := after[o]
			return !o.isCode() && (!ours.owns(o) || (was && !is))
		})
		for o, definition := range after {
			old, was := before[o]
			_, known := record[o]
			_, knownTable := record[object{"table", o.table()}]
			switch {
			case !ours.owns(o), !known && was && knownTable: // somebody else's
			case !known, old != definition, !sameServer:
				noted[o] = definition
			}
		}
		return in.writeRecord(ctx, tx, noted)
	})
	if err != nil {
		return fmt.Errorf("schema %s: %w", in.kind.Name(), err)
	}
	return nil
}

// sameServer reports whether the recorded definitions were printed by this major version of
// PostgreSQL.
func (s source) sameServer(ctx context.Context, tx pgx.Tx) (same bool, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce(bool_and(c.server_major = current_setting('server_version_num')::integer / 10000), false)
		FROM `+s.quoted("schema_code")+` AS c`).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("read table schema_code: %w", err)
	}
	return same, nil
}

// sorted returns the objects sorted by name.
func sorted(objects []object) []object {
	slices.SortFunc(objects, func(a, b object) int { return strings.Compare(a.String(), b.String()) })
	return objects
}
