package sqlsource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// What catches changes in the customer's database, all of it in a schema of the project's own and
// with its name, which nothing else has:
//
//	schema    authsync_changes_<12 digits of the project's id>
//	  objects   what was created: these tables, the functions, the triggers; and an id of this whole
//	  changes   a row for each change, with the keys of the row that changed and nothing else of it
//	  note_user, note_organization, note_member, note_invitation
//	            write such a row, with the rights of whoever created them
//	trigger   of the same name, on each of the four tables that is there
//
// It needs CREATE on the database and TRIGGER on the tables, and no superuser.

// watched is a table whose changes are caught, by the columns that identify a row.
type watched struct {
	recordTable

	keys []string
}

// watchedTables returns the tables that are there and may be read.
func (s *source) watchedTables(ctx context.Context) (found []watched, err error) {
	users, err := s.table(ctx, s.Tables.UserTable)
	if err != nil {
		return nil, err
	}
	id, err := users.need("id", s.Tables.Columns)
	if err != nil {
		return nil, err
	}
	found = append(found, watched{recordTable{name: s.Tables.UserTable, of: record.User}, []string{id.Name}})
	for _, one := range recordTables() {
		_, err := s.recordTable(ctx, one)
		switch {
		case isLeftOut(err):
			continue
		case err != nil:
			return nil, err
		}
		keys := []string{"id"}
		if one.of == record.Membership {
			keys = []string{"organizationId", "userId"}
		}
		found = append(found, watched{one, keys})
	}
	return found, nil
}

// changesSchema is the name of the schema, and of the triggers.
func (s *source) changesSchema() string {
	return "authsync_changes_" + strings.ReplaceAll(s.Project.String(), "-", "")[:12]
}

func (s *source) inSchema(name string) string {
	return pgx.Identifier{s.changesSchema(), name}.Sanitize()
}

// Prepare creates what catches changes, unless it is there, and completes it if a table was added.
func (s *source) Prepare(ctx context.Context) error {
	_, _, err := s.install(ctx)
	return err
}

// install is Prepare. It returns the id of what is there, and whether it has just been created.
func (s *source) install(ctx context.Context) (instance string, created bool, err error) {
	if s.Project == uuid.Nil {
		return "", false, errors.New("sqlsource: the project is not given")
	}
	tables, err := s.watchedTables(ctx)
	if err != nil {
		return "", false, err
	}
	err = pgdb.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))`, s.changesSchema()); err != nil {
			return err
		}
		if created, err = s.createSchema(ctx, tx); err != nil {
			return err
		}
		for _, table := range tables {
			if err := s.watch(ctx, tx, table); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, `SELECT o.name FROM `+s.inSchema("objects")+` AS o WHERE o.kind = 'instance'`).Scan(&instance)
	})
	switch {
	case err == nil:
		return instance, created, nil
	case pgdb.Code(err) == "42501": // insufficient_privilege
		return "", false, fault.Newf(fault.CredentialsRefused, "the role of %s may not create what catches changes: "+
			"as their owner, GRANT CREATE ON DATABASE, and TRIGGER and SELECT on the tables of Better Auth, to it (SQLSTATE 42501)", s.What)
	case pgdb.Code(err) == "42P06", pgdb.Code(err) == "42P07": // duplicate_schema, duplicate_table
		return "", false, fault.Newf(fault.ProviderError, "schema %s is there and was not made by authsync: rename it", s.changesSchema())
	default:
		return "", false, s.explain(ctx, "create what catches changes", err)
	}
}

// isThere reports whether the schema is there and ours: known by its record of objects, which belongs
// to this role.
func (s *source) isThere(ctx context.Context, tx pgx.Tx) (there bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (
		    SELECT
		    FROM pg_catalog.pg_class AS c
		    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		    WHERE n.nspname = $1 AND c.relname = 'objects' AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
		)`, s.changesSchema()).Scan(&there)
	return there, err
}

// createSchema creates the schema with its tables unless they are there.
func (s *source) createSchema(ctx context.Context, tx pgx.Tx) (created bool, err error) {
	there, err := s.isThere(ctx, tx)
	if err != nil || there {
		return false, err
	}
	comment := `Changes of the tables of Better Auth, for authsync. Made by option pull of the project's integration, and removed by turning it off.`
	for _, statement := range []string{
		`CREATE SCHEMA ` + pgx.Identifier{s.changesSchema()}.Sanitize(),
		`COMMENT ON SCHEMA ` + pgx.Identifier{s.changesSchema()}.Sanitize() + ` IS '` + strings.ReplaceAll(comment, "'", "''") + `'`,
		`CREATE TABLE ` + s.inSchema("objects") + ` (kind text NOT NULL, name text NOT NULL, PRIMARY KEY (kind, name))`,
		`COMMENT ON TABLE ` + s.inSchema("objects") + ` IS 'What authsync has created here.'`,
		`CREATE TABLE ` + s.inSchema("changes") + ` (
			id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			record_type text NOT NULL, key1 text, key2 text, changed_at timestamptz NOT NULL)`,
		`COMMENT ON TABLE ` + s.inSchema("changes") + ` IS 'Rows that have changed and that authsync has not read yet: their keys alone.'`,
		`INSERT INTO ` + s.inSchema("objects") + ` VALUES ('instance', pg_catalog.gen_random_uuid()::text), ('table', 'objects'), ('table', 'changes')`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return false, err
		}
	}
	return true, nil
}

// watch creates the function and the triggers of a table unless they are recorded.
func (s *source) watch(ctx context.Context, tx pgx.Tx, w watched) error {
	on := pgx.Identifier{s.Tables.Schema, w.name}.Sanitize()
	var there bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = pg_catalog.to_regclass($1) AND tgname = $2)`,
		on, s.changesSchema()).Scan(&there)
	if err != nil || there {
		return err
	}
	function := s.inSchema("note_" + string(w.of))
	trigger := pgx.Identifier{s.changesSchema()}.Sanitize()
	ofTruncate := pgx.Identifier{s.changesSchema() + "_t"}.Sanitize()
	for _, statement := range []string{
		s.noteFunction(function, w),
		`REVOKE ALL ON FUNCTION ` + function + `() FROM PUBLIC`,
		`CREATE TRIGGER ` + trigger + ` AFTER INSERT OR UPDATE OR DELETE ON ` + on + ` FOR EACH ROW EXECUTE FUNCTION ` + function + `()`,
		`CREATE TRIGGER ` + ofTruncate + ` AFTER TRUNCATE ON ` + on + ` FOR EACH STATEMENT EXECUTE FUNCTION ` + function + `()`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO `+s.inSchema("objects")+` VALUES ('function', $1), ('trigger', $2) ON CONFLICT DO NOTHING`,
		"note_"+string(w.of), on)
	return err
}

// noteFunction notes the keys of a row, by name: nothing else of it is copied. It must never fail
// the customer's own statement, so what it lacks is not an error.
func (s *source) noteFunction(function string, w watched) string {
	keys := func(row string) string {
		list := make([]string, 2)
		for i := range list {
			list[i] = "NULL"
			if i < len(w.keys) {
				list[i] = row + "." + pgx.Identifier{w.keys[i]}.Sanitize() + "::text"
			}
		}
		return strings.Join(list, ", ")
	}
	insert := `INSERT INTO ` + s.inSchema("changes") + ` (record_type, key1, key2, changed_at) VALUES ('` + string(w.of) + `', `
	const now = `, pg_catalog.clock_timestamp());`
	return `CREATE OR REPLACE FUNCTION ` + function + `() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $fn$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        ` + insert + `NULL, NULL` + now + `
    ELSIF TG_OP = 'INSERT' THEN
        ` + insert + keys("NEW") + now + `
    ELSE
        ` + insert + keys("OLD") + now + `
        IF TG_OP = 'UPDATE' AND (` + keys("NEW") + `) IS DISTINCT FROM (` + keys("OLD") + `) THEN
            ` + insert + keys("NEW") + now + `
        END IF;
    END IF;
    RETURN NULL;
EXCEPTION WHEN undefined_table OR insufficient_privilege THEN
    RETURN NULL;
END;
$fn$`
}

// Remove removes what Prepare has created, and nothing else.
func (s *source) Remove(ctx context.Context) error {
	err := pgdb.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))`, s.changesSchema()); err != nil {
			return err
		}
		there, err := s.isThere(ctx, tx)
		if err != nil || !there {
			return err
		}
		functions, err := s.removable(ctx, tx)
		if err != nil {
			return err
		}
		statements := make([]string, 0, len(functions)+3)
		for _, name := range functions {
			// With its triggers: only the owner of a table may drop a trigger of it, but whoever owns
			// the function may drop both. removable has made sure that nothing else hangs on it.
			statements = append(statements, `DROP FUNCTION IF EXISTS `+s.inSchema(name)+`() CASCADE`)
		}
		statements = append(statements,
			`DROP TABLE IF EXISTS `+s.inSchema("changes"), `DROP TABLE `+s.inSchema("objects"), `DROP SCHEMA `+pgx.Identifier{s.changesSchema()}.Sanitize())
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement[:min(len(statement), 40)], err)
			}
		}
		return nil
	})
	if _, known := fault.As(err); err != nil && !known {
		return s.explain(ctx, "remove what catches changes", err)
	}
	return err
}

// removable returns the recorded functions. The error says that something hangs on one of them that
// authsync did not create.
func (s *source) removable(ctx context.Context, tx pgx.Tx) ([]string, error) {
	var foreign int
	err := tx.QueryRow(ctx, `
		SELECT count(*)
		FROM pg_catalog.pg_depend AS d
		JOIN pg_catalog.pg_proc AS f ON f.oid = d.refobjid AND d.refclassid = 'pg_catalog.pg_proc'::regclass
		JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
		LEFT JOIN pg_catalog.pg_trigger AS t ON t.oid = d.objid AND d.classid = 'pg_catalog.pg_trigger'::regclass
		WHERE n.nspname = $1 AND (t.oid IS NULL OR t.tgname NOT IN ($1, $1 || '_t'))`, s.changesSchema()).Scan(&foreign)
	if err != nil {
		return nil, err
	}
	if foreign > 0 {
		return nil, fault.Newf(fault.ProviderError, "%d objects that authsync did not create use its functions in schema %s: drop them first", foreign, s.changesSchema())
	}
	rows, err := tx.Query(ctx, `SELECT o.name FROM `+s.inSchema("objects")+` AS o WHERE o.kind = 'function' ORDER BY o.name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
