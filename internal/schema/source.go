package schema

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/golang-migrate/migrate/v4/database"

	"github.com/authsync/authsync/migrations"
	"github.com/authsync/authsync/sql"
)

// source is what a binary knows about one schema: the migrations/ and sql/ of its kind.
type source struct {
	kind             Kind
	migrations, code fs.FS
	// files are those of code, rendered, and digest is over them.
	files  []codeFile
	digest string
}

func newSource(kind Kind, migrations, code fs.FS) source {
	files := readCode(kind, code)
	return source{kind: kind, migrations: migrations, code: code, files: files, digest: digestOf(files)}
}

// A binary's files are read once: to render and to hash them takes longer than the queries of UpToDate, which is
// asked for each project.
var (
	controlSource = sync.OnceValue(func() source { return newSource(Control, migrations.Control, sql.Control) }) //nolint:gochecknoglobals // constant
	projectSource = sync.OnceValue(func() source { return newSource(Project, migrations.Project, sql.Project) }) //nolint:gochecknoglobals // constant
)

func sourceOf(kind Kind) source {
	if kind == Control {
		return controlSource()
	}
	return projectSource()
}

// versions returns the migration numbers in this binary, ascending.
func (s source) versions() []uint {
	var found []uint
	for _, name := range s.migrationFiles() {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseUint(number, 10, 31)
		if err == nil && strings.HasSuffix(name, ".up.sql") {
			found = append(found, uint(version))
		}
	}
	slices.Sort(found)
	return found
}

func (s source) latest() uint {
	all := s.versions()
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

func (s source) migrationFiles() []string {
	names, _ := fs.Glob(s.migrations, string(s.kind)+"/*.sql") // the pattern is well-formed
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, string(s.kind)+"/")
	}
	return names
}

// migrationFile is one file of migrations/.
type migrationFile struct {
	name          string
	text          string
	versionBefore int // the version before the file runs
}

// fileOf returns the file that runs when golang-migrate marks target as dirty: target's own file
// going up, the next version's going down.
func (s source) fileOf(target int, direction direction) migrationFile {
	all := s.versions()
	i := slices.IndexFunc(all, func(v uint) bool { return int(v) == target }) // -1: before the first
	version, suffix, before := target, ".up.sql", database.NilVersion
	if direction == down {
		if i+1 >= len(all) {
			return migrationFile{name: "migration after " + strconv.Itoa(target), versionBefore: target}
		}
		version, suffix = int(all[i+1]), ".down.sql"
		before = version
	} else if i > 0 {
		before = int(all[i-1])
	}
	prefix := fmt.Sprintf("%06d_", version)
	for _, name := range s.migrationFiles() {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			text, _ := fs.ReadFile(s.migrations, string(s.kind)+"/"+name) // just listed
			return migrationFile{name: name, text: string(text), versionBefore: before}
		}
	}
	return migrationFile{name: "migration " + strconv.Itoa(version), versionBefore: before}
}

// concurrently reports whether the file runs outside a transaction.
func (f migrationFile) concurrently() bool {
	for line := range strings.Lines(f.text) {
		code, _, _ := strings.Cut(line, "--")
		if strings.Contains(strings.ToUpper(code), "CONCURRENTLY") {
			return true
		}
	}
	return false
}
