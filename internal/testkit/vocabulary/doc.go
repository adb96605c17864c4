// Package vocabulary keeps the names that people meet outside of the code to one word for one
// thing: SQL objects and columns, job kinds, log messages, metrics, commands and flags, paths
// and fields of the API. Its test holds the table of words to avoid, each with the word to use
// instead. It only reads files.
package vocabulary

import (
	"slices"
	"strings"
)

// Word is a word that names avoid.
type Word struct {
	// Not is a whole name such as "open_until". With Anywhere, it may also not be part of a
	// longer name, unless that name contains one of But.
	Not      string
	Anywhere bool
	But      []string
	Say      string // the word to use instead
}

// Find returns the first word of the table that a name uses.
func Find(table []Word, name string) (Word, bool) {
	for _, word := range table {
		if slices.Equal(parts(name), parts(word.Not)) || word.Anywhere && word.in(name) {
			return word, true
		}
	}
	return Word{}, false
}

func (w Word) in(name string) bool {
	return contains(name, w.Not) && !slices.ContainsFunc(w.But, func(but string) bool { return contains(name, but) })
}

// contains compares whole parts: "class" is no part of "pg_classes".
func contains(name, part string) bool {
	return strings.Contains("_"+strings.Join(parts(name), "_")+"_", "_"+strings.Join(parts(part), "_")+"_")
}

// parts cuts a name where a reader sees a gap.
func parts(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("_-/.{} ", r) })
}
