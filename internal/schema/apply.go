package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
)

// application is one run over the files of sql/.
type application struct {
	*installer

	tx       pgx.Tx
	before   definitions // the schema before the run
	record   definitions // the part of it that is ours
	resolved map[object]object

	made   []object            // made by the files
	stale  []object            // made by no file any more, but still depended on
	rights map[object][]string // of objects dropped to be recreated: their privileges, as GRANT statements
	fallen map[string]bool     // views dropped because they read a dropped view

	repaired, dropped, kept []string
	replaced                []Replaced
}

func (a *application) run(ctx context.Context) (err error) {
	if _, err := a.tx.Exec(ctx, `SET LOCAL check_function_bodies = off`); err != nil {
		return fmt.Errorf("prepare to apply code: %w", err)
	}
	if a.before, err = a.readCatalog(ctx, a.tx); err != nil {
		return err
	}
	if a.record, err = a.installer.record(ctx, a.tx); err != nil {
		return err
	}
	same, err := a.sameServer(ctx, a.tx)
	if err != nil {
		return err
	}
	for _, p := range compare(a.record, a.before, same) {
		if p.Heals && p.Repair == "" {
			a.repaired = append(a.repaired, p.String())
		}
	}
	changed, err := a.changedCode(ctx, same)
	if err != nil {
		return err
	}
	if err := a.applyFiles(ctx); err != nil {
		return err
	}
	for _, o := range sorted(slices.Collect(maps.Keys(changed))) {
		if slices.Contains(a.made, o) {
			a.replaced = append(a.replaced, Replaced{o.String(), pgdb.Cut(changed[o])})
		}
	}
	if err := a.dropStale(ctx, same); err != nil {
		return err
	}
	if err := a.note(ctx); err != nil {
		return err
	}
	for _, file := range a.files {
		if file.layer == "grants" {
			if _, err := a.tx.Exec(ctx, file.text); err != nil {
				return fileError(file, err)
			}
		}
	}
	if err := a.note(ctx); err != nil { // grants change functions' catalog entries
		return err
	}
	_, err = a.tx.Exec(ctx, `
		UPDATE `+a.quoted("schema_code")+` AS c
		SET revision = $1, hash = $2, applied_at = now(), version = (SELECT coalesce(max(m.version), 0) FROM `+a.quoted(versionTable)+` AS m),
		    min_version = greatest(c.min_version, $3), min_river_version = greatest(c.min_river_version, $4),
		    server_major = current_setting('server_version_num')::integer / 10000`,
		a.revision(), a.digest, a.breaking(), minRiver(a.kind))
	if err != nil {
		return fmt.Errorf("record the applied code: %w", err)
	}
	return nil
}

// applyFiles applies all files except the grants.
func (a *application) applyFiles(ctx context.Context) (err error) {
	var views []codeFile
	var objects []object
	for _, file := range a.files {
		o, err := file.declared()
		if err != nil {
			return err
		}
		if file.layer != "grants" {
			objects = append(objects, o)
		}
		if file.layer == "views" {
			views = append(views, file)
		}
	}
	if a.resolved, err = resolve(ctx, a.tx, objects); err != nil {
		return err
	}
	for _, layer := range layers() {
		if layer == "views" {
			if err := a.applyViews(ctx, views); err != nil {
				return err
			}
			continue
		}
		for _, file := range a.files {
			if file.layer == layer && layer != "grants" {
				if err := a.apply(ctx, file); err != nil {
					return fileError(file, err)
				}
			}
		}
	}
	made, err := resolve(ctx, a.tx, objects)
	if err != nil {
		return err
	}
	for _, o := range objects {
		is, exists := made[o]
		if !exists {
			return fmt.Errorf("sql/%s declares %s but does not create it", a.kind, o)
		}
		a.made = append(a.made, is)
	}
	return nil
}

// applyViews applies views in rounds, because one view may read another.
func (a *application) applyViews(ctx context.Context, views []codeFile) error {
	for pending := views; len(pending) > 0; {
		var later []codeFile
		var lastErr error
		for _, view := range pending {
			err := a.apply(ctx, view)
			switch pgdb.Code(err) {
			case pgerrcode.UndefinedTable, pgerrcode.UndefinedColumn:
				later, lastErr = append(later, view), fileError(view, err)
				continue
			}
			if err != nil {
				return fileError(view, err)
			}
			delete(a.fallen, a.kind.Name()+"."+view.object)
		}
		if len(later) == len(pending) {
			return lastErr
		}
		for _, view := range views {
			if a.fallen[a.kind.Name()+"."+view.object] && !slices.Contains(later, view) {
				later = append(later, view)
			}
		}
		pending = later
	}
	return nil
}

// apply applies one file. An object in the record is replaced, whatever it has become; an object
// that is not in the record belongs to someone else and is refused. The exception is an object
// identical to what the file creates: it is added to the record, so that a lost record is rebuilt.
func (a *application) apply(ctx context.Context, file codeFile) error {
	declared, _ := file.declared() // checked before
	is, exists := a.resolved[declared]
	if _, ours := a.record[is]; exists && !ours {
		return a.adopt(ctx, file, is)
	}
	err := a.exec(ctx, file.text)
	switch pgdb.Code(err) {
	case pgerrcode.InvalidFunctionDefinition, // its return type or parameter names changed
		pgerrcode.InvalidTableDefinition: // it lost or renamed a column
		if exists {
			if err = a.dropToReplace(ctx, is); err == nil {
				err = a.exec(ctx, file.text)
			}
		}
	}
	if err != nil {
		return err
	}
	for _, grant := range a.rights[declared] {
		if err := a.exec(ctx, grant); err != nil {
			return err
		}
	}
	delete(a.rights, declared)
	return nil
}

// exec runs statements in a savepoint, so that the transaction survives a failure.
func (a *application) exec(ctx context.Context, text string) error {
	return pgdb.InTx(ctx, a.tx, func(savepoint pgx.Tx) error {
		_, err := savepoint.Exec(ctx, text)
		return err
	})
}

// note records the code as the catalog now describes it.
func (a *application) note(ctx context.Context) error {
	after, err := a.readCatalog(ctx, a.tx)
	if err != nil {
		return err
	}
	noted := maps.Clone(a.record)
	maps.DeleteFunc(noted, func(o object, _ string) bool { return o.isCode() })
	for _, o := range a.made {
		noted[o] = after[o]
	}
	for _, o := range a.stale {
		noted[o] = a.record[o]
	}
	return a.writeRecord(ctx, a.tx, noted)
}

// fileError adds the file and line in sql/ to an error.
func fileError(file codeFile, err error) error {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Position > 0 && int(pgErr.Position) <= len([]rune(file.text)) {
		line := 1 + strings.Count(string([]rune(file.text)[:pgErr.Position-1]), "\n")
		return fmt.Errorf("%s, line %d: %w", file.name(), line, err)
	}
	return fmt.Errorf("%s: %w", file.name(), err)
}
