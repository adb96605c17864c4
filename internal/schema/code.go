package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

// layers are the folders of sql/control and sql/project, in the order in which
// they are applied. Functions come before views because views call them; a
// function whose body reads a view is no obstacle, bodies are not checked on
// creation. Views that read other views find their order by being tried again.
func layers() []string { return []string{"functions", "views", "triggers", "grants"} }

// codeFile is one file of sql/.
type codeFile struct {
	layer, object string // "functions", "apply_events"
	text          string
}

func (f codeFile) name() string { return f.layer + "/" + f.object + ".sql" }

// codeFiles returns the files of sql/ in the order in which they are applied.
func (s source) codeFiles() []codeFile {
	var files []codeFile
	for _, layer := range layers() {
		names, _ := fs.Glob(s.code, path.Join(string(s.kind), layer, "*.sql")) // sorted; the pattern is well-formed
		for _, name := range names {
			text, _ := fs.ReadFile(s.code, name) // embedded, and just listed
			files = append(files, codeFile{layer: layer, object: strings.TrimSuffix(path.Base(name), ".sql"), text: string(text)})
		}
	}
	return files
}

// Hash returns a digest of all of sql/ of a kind: equal hashes, equal code.
func Hash(kind Kind) string { return sourceOf(kind).hash() }

func (s source) hash() string {
	digest := sha256.New()
	for _, file := range s.codeFiles() {
		fmt.Fprintf(digest, "%s %d\n%s", file.name(), len(file.text), file.text)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// revision reads sql/<kind>/revision: a number that grows whenever the code
// changes, and the hash it was given for (make golden writes both). It tells which
// of two codes is the newer one, which a hash can't: during a deploy an old
// process must not put its functions back.
func (s source) revision() int {
	text, err := fs.ReadFile(s.code, path.Join(string(s.kind), "revision"))
	if err != nil {
		return 0
	}
	number, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.Atoi(number) // a test makes sure that it is a number
	return n
}

const createCodeTable = `
	CREATE TABLE IF NOT EXISTS %[1]s.schema_code (
		only_row   boolean     NOT NULL DEFAULT true,
		revision   integer     NOT NULL,
		hash       text        NOT NULL,
		applied_at timestamptz NOT NULL DEFAULT now(),
		CONSTRAINT schema_code_pkey PRIMARY KEY (only_row),
		CONSTRAINT schema_code_only_row_check CHECK (only_row)
	);
	COMMENT ON TABLE %[1]s.schema_code IS 'Which functions, views and triggers of authsync are installed in this schema.';
	COMMENT ON TABLE %[1]s.schema_migrations IS 'Version of the tables of this schema (golang-migrate).'`

// applyCode applies all of sql/ in one transaction, unless the database has the
// same code, or newer code of the same tables.
func (in *installer) applyCode(ctx context.Context) (applied bool, dropped []string, err error) {
	state, err := in.read(ctx, in.conn)
	if err != nil || state.CodeUpToDate() {
		return false, nil, err
	}
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		schema := pgx.Identifier{in.kind.Name()}.Sanitize()
		if _, err := tx.Exec(ctx, fmt.Sprintf(createCodeTable, schema)); err != nil {
			return fmt.Errorf("create table schema_code: %w", err)
		}
		if _, err := tx.Exec(ctx, `SET LOCAL check_function_bodies = off`); err != nil {
			return fmt.Errorf("prepare to apply code: %w", err)
		}
		if err := in.applyFiles(ctx, tx); err != nil {
			return err
		}
		if dropped, err = in.dropStale(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+schema+`.schema_code (revision, hash) VALUES ($1, $2)
			ON CONFLICT (only_row) DO UPDATE SET revision = excluded.revision, hash = excluded.hash, applied_at = now()`,
			in.revision(), in.hash())
		if err != nil {
			return fmt.Errorf("note what code was applied: %w", err)
		}
		return nil
	})
	if err != nil {
		return false, nil, fmt.Errorf("apply sql/%s: %w", in.kind, err)
	}
	in.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "schema_code_applied",
		slog.String("schema", in.kind.Name()), slog.String("hash", in.hash()), slog.Any("dropped", dropped))
	return true, dropped, nil
}

// forgetCode makes the next applyCode apply everything.
func (in *installer) forgetCode(ctx context.Context) error {
	_, err := in.conn.Exec(ctx, `DELETE FROM `+pgx.Identifier{in.kind.Name(), "schema_code"}.Sanitize())
	if err != nil && pgdb.Code(err) != undefinedTable {
		return fmt.Errorf("forget what code was applied: %w", err)
	}
	return nil
}

func (in *installer) applyFiles(ctx context.Context, tx pgx.Tx) error {
	files := in.codeFiles()
	for _, layer := range layers() {
		ofLayer := slices.DeleteFunc(slices.Clone(files), func(f codeFile) bool { return f.layer != layer })
		if layer == "views" {
			if err := in.applyViews(ctx, tx, ofLayer); err != nil {
				return err
			}
			continue
		}
		// No savepoint here: what a subtransaction creates has another xmin, and dropStale goes by it.
		for _, file := range ofLayer {
			if _, err := tx.Exec(ctx, file.text); err != nil {
				return fileError(file, err)
			}
		}
	}
	return nil
}

// applyViews applies views in rounds until all are there, as one may read
// another. A view that lost or renamed a column can't be replaced: it is dropped
// first, which fails if something of the customer reads it.
func (in *installer) applyViews(ctx context.Context, tx pgx.Tx, views []codeFile) error {
	const invalidTableDefinition, undefinedColumn = "42P16", "42703"
	for len(views) > 0 {
		var later []codeFile
		var lastErr error
		for _, view := range views {
			err := pgdb.InTx(ctx, tx, func(savepoint pgx.Tx) error {
				_, err := savepoint.Exec(ctx, view.text)
				return err
			})
			switch pgdb.Code(err) {
			case "":
				if err != nil {
					return fileError(view, err)
				}
			case invalidTableDefinition:
				if _, err := tx.Exec(ctx, `DROP VIEW `+pgx.Identifier{in.kind.Name(), view.object}.Sanitize()); err != nil {
					return fileError(view, err)
				}
				later = append(later, view)
			case undefinedTable, undefinedColumn:
				later, lastErr = append(later, view), fileError(view, err)
			default:
				return fileError(view, err)
			}
		}
		if len(later) == len(views) && lastErr != nil {
			return lastErr
		}
		views = later
	}
	return nil
}

// fileError names the file and line of an error in sql/.
func fileError(file codeFile, err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Position > 0 && int(pgErr.Position) <= len([]rune(file.text)) {
		line := 1 + strings.Count(string([]rune(file.text)[:pgErr.Position-1]), "\n")
		return fmt.Errorf("%s, line %d: %w", file.name(), line, err)
	}
	return fmt.Errorf("%s: %w", file.name(), err)
}
