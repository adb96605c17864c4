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

// The tables of this package, which are in every schema that it has installed. Their comments
// tell them from tables of the same name that somebody else has made.
//
//	schema_migrations   golang-migrate's: the version of the tables
//	schema_code         which sql/ is installed, and who can still work with it
//	schema_objects      the record: what authsync has made, and how it looked then
//
// Ownership is the record and nothing else: an object is authsync's if it is
// in it, wherever it lies and whoever wrote its present definition.
const (
	migrationsComment = "Version of the tables of this schema (golang-migrate)."
	codeComment       = "Which functions, views and triggers of authsync are installed in this schema."
	objectsComment    = "What authsync has made in this schema, and as it was made; whatever else lies in the schema is not touched."
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

// quoted is the name of the schema, or of a table in it, for SQL.
func (s source) quoted(table ...string) string {
	return pgx.Identifier(append([]string{s.kind.Name()}, table...)).Sanitize()
}

// footing is what of this package's tables a database has.
type footing struct {
	Schema                    bool    // it exists
	Migrations, Code, Objects *string // the table's comment; nil: there is none
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

// foreign returns those of the tables that somebody else has made.
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

// prepare makes the schema and the tables of this package, those that are missing. The
// record is there before anything else is, so that nothing of ours is ever without it. It
// tells whether the record had been lost.
//
// The question comes first: CREATE SCHEMA IF NOT EXISTS wants the right to create even
// if there is nothing to do.
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
			comment = "authsync: the users of the identity provider. Read it, join it; authsync alone writes to it."
		}
		statements = append(statements, `CREATE SCHEMA `+in.quoted(), `COMMENT ON SCHEMA `+in.quoted()+` IS '`+comment+`'`)
	}
	if has.Migrations == nil {
		statements = append(statements, fmt.Sprintf(createMigrationsTable, in.quoted()))
	}
	if lost && has.Code != nil { // it may be of an older layout; what it says is found out again
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

// record reads what authsync has made.
func (s source) record(ctx context.Context, tx pgx.Tx) (definitions, error) {
	return readDefinitions(ctx, tx, `SELECT r.kind, r.identity, r.definition FROM `+s.quoted("schema_objects")+` AS r`)
}

// writeRecord makes the record the given one.
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
		return fmt.Errorf("record what was made: %w", err)
	}
	return nil
}

// recordTables notes what migrations have made or changed. before is the schema as it was.
//
// What the record says of something that is as it was before stays, so that what a stranger
// has changed goes on being seen. Of tables that are older than the migrations just applied, only what is new
// is taken: the other columns and constraints may be the customer's.
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

// sameServer tells whether the definitions in the record were printed by this major version of PostgreSQL.
func (s source) sameServer(ctx context.Context, tx pgx.Tx) (same bool, err error) {
	err = tx.QueryRow(ctx, `SELECT coalesce(bool_and(c.server_major = current_setting('server_version_num')::integer / 10000), false)
		FROM `+s.quoted("schema_code")+` AS c`).Scan(&same)
	if err != nil {
		return false, fmt.Errorf("read table schema_code: %w", err)
	}
	return same, nil
}

// sorted lists objects in the order of their names.
func sorted(objects []object) []object {
	slices.SortFunc(objects, func(a, b object) int { return strings.Compare(a.String(), b.String()) })
	return objects
}
