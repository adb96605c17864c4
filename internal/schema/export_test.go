package schema

import (
	"context"
	"io/fs"
)

// Source is what a binary built from other files would know.
type Source = source

// NewSource returns a source with the given migrations/ and sql/.
func NewSource(kind Kind, migrations, code fs.FS) Source {
	return newSource(kind, migrations, code)
}

// SourceOf returns what this binary knows.
func SourceOf(kind Kind) Source { return sourceOf(kind) }

// Up is Up with the files of s.
func (s source) Up(ctx context.Context, url string, opts Options) (Report, error) {
	return s.up(ctx, url, opts)
}

// Down is Down with the files of s.
func (s source) Down(ctx context.Context, url string, steps int) (Report, error) {
	return s.down(ctx, url, steps, Options{})
}

// UpToDate is UpToDate with the files of s.
func (s source) UpToDate(ctx context.Context, db Querier) (bool, error) { return s.upToDate(ctx, db) }

// Revision returns the number in the file revision.
func (s source) Revision() int { return s.revision() }

// CodeText returns the files of sql/ by name, such as "functions/apply_events.sql".
func (s source) CodeText() map[string]string {
	texts := map[string]string{}
	for _, file := range s.files {
		texts[file.name()] = file.text
	}
	return texts
}
