package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// layers are the folders of sql/control and sql/project in the order in which they are applied.
// Functions come before views because views call them; a function may read a later view, because
// bodies are not checked on creation. Views that read other views are retried until they succeed.
func layers() []string { return []string{"functions", "views", "triggers", "grants"} }

// codeFile is one file of sql/.
type codeFile struct {
	layer, object string // "functions", "apply_events"
	text          string
}

func (f codeFile) name() string { return f.layer + "/" + f.object + ".sql" }

// readCode returns the files of sql/ in the order in which they are applied.
func readCode(kind Kind, code fs.FS) []codeFile {
	var files []codeFile
	for _, layer := range layers() {
		names, _ := fs.Glob(code, path.Join(string(kind), layer, "*.sql")) // sorted; the pattern is well-formed
		for _, name := range names {
			text, _ := fs.ReadFile(code, name) // embedded and just listed
			files = append(files, codeFile{layer: layer, object: strings.TrimSuffix(path.Base(name), ".sql"), text: string(text)})
		}
		templates, _ := fs.Glob(code, path.Join(string(kind), layer, "*"+templateSuffix)) // likewise
		for _, name := range templates {
			text, _ := fs.ReadFile(code, name) // likewise
			files = append(files, render(layer, name, string(text))...)
		}
	}
	return files
}

// Hash returns a digest of all of sql/ for a kind.
func Hash(kind Kind) string { return sourceOf(kind).digest }

func digestOf(files []codeFile) string {
	digest := sha256.New()
	for _, file := range files {
		fmt.Fprintf(digest, "%s %d\n%s", file.name(), len(file.text), file.text)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// revision reads sql/<kind>/revision: a number that grows whenever the code changes, and the hash
// that it belongs to (make golden writes both). Unlike a hash, it tells which code is newer: during
// a deploy an old process must not reinstall its functions.
func (s source) revision() int {
	text, err := fs.ReadFile(s.code, path.Join(string(s.kind), "revision"))
	if err != nil {
		return 0
	}
	number, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.Atoi(number) // a test checks that it is a number
	return n
}

// applyCode applies all of sql/ in one transaction, unless the database has the same code,
// unmodified, for the same version of the tables, or newer code. After a migration the code is
// therefore always applied, even if this process dies in between: a migration may drop a view that
// blocks it.
func (in *installer) applyCode(ctx context.Context, report *Report) error {
	state, err := in.inspect(ctx, in.conn)
	damaged := slices.ContainsFunc(state.Problems, func(p Problem) bool { return p.Heals && p.Repair == "" })
	if err != nil || (state.CodeUpToDate() && !damaged) {
		return err
	}
	if state.CodeRevision > in.revision() {
		return fmt.Errorf("%w: %s: run migrate up with the authsync that upgraded schema %s, or a newer one",
			ErrDamaged, list(state.Problems), in.kind.Name())
	}
	a := &application{installer: in, rights: map[object][]string{}, fallen: map[string]bool{}}
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		a.tx = tx
		return a.run(ctx)
	})
	if err != nil {
		return fmt.Errorf("apply sql/%s: %w", in.kind, err)
	}
	report.CodeApplied, report.Dropped, report.Kept = true, a.dropped, a.kept
	report.Repaired = append(report.Repaired, a.repaired...)
	report.Replaced = a.replaced
	return nil
}

// log reports what Up or Down did.
func (in *installer) log(ctx context.Context, r Report) {
	schema := slog.String("schema", in.kind.Name())
	for _, o := range r.Dropped {
		in.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "schema_object_dropped", schema, slog.String("object", o))
	}
	for _, o := range r.Replaced {
		in.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "schema_object_dropped", schema, slog.String("object", o.Object), slog.String("definition", o.Definition))
	}
	for _, problem := range r.Repaired {
		in.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "schema_object_repaired", schema, slog.String("problem", problem))
	}
	for _, reason := range r.Kept {
		in.opts.Logger.LogAttrs(ctx, slog.LevelWarn, "schema_object_kept", schema, slog.String("reason", reason))
	}
	if r.CodeApplied {
		in.opts.Logger.LogAttrs(ctx, slog.LevelInfo, "schema_code_applied", schema, slog.String("hash", in.digest))
	}
}

// announce records, before a breaking migration, that older binaries can no longer work.
func (in *installer) announce(ctx context.Context) error {
	_, err := in.conn.Exec(ctx, `UPDATE `+in.quoted("schema_code")+` SET min_version = greatest(min_version, $1)`, in.breaking())
	if err != nil {
		return fmt.Errorf("record the minimum version: %w", err)
	}
	return nil
}
