package schema

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"
)

// versions lists the numbers of the migrations in this binary, ascending.
func versions(kind Kind) []uint {
	var found []uint
	for _, name := range migrationFiles(kind) {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseUint(number, 10, 31)
		if err == nil && strings.HasSuffix(name, ".up.sql") {
			found = append(found, uint(version))
		}
	}
	slices.Sort(found)
	return found
}

func latestVersion(kind Kind) uint {
	all := versions(kind)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

func migrationFiles(kind Kind) []string {
	names, _ := fs.Glob(kind.migrations(), string(kind)+"/*.sql") // the pattern is well-formed
	for i, name := range names {
		names[i] = strings.TrimPrefix(name, string(kind)+"/")
	}
	return names
}

// migrationFile is one file of migrations/.
type migrationFile struct {
	name          string
	text          string
	versionBefore int // what the version was when the file began to run
}

// fileOf returns the file that runs when golang-migrate notes target as dirty:
// going up that is the file of target, going down the file of the version after.
func fileOf(kind Kind, target int, direction direction) migrationFile {
	all := versions(kind)
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
	for _, name := range migrationFiles(kind) {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			text, _ := fs.ReadFile(kind.migrations(), string(kind)+"/"+name) // it was just listed
			return migrationFile{name: name, text: string(text), versionBefore: before}
		}
	}
	return migrationFile{name: "migration " + strconv.Itoa(version), versionBefore: before}
}

// concurrently reports whether the file runs outside of a transaction.
func (f migrationFile) concurrently() bool {
	for line := range strings.Lines(f.text) {
		code, _, _ := strings.Cut(line, "--")
		if strings.Contains(strings.ToUpper(code), "CONCURRENTLY") {
			return true
		}
	}
	return false
}
