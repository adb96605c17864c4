package mirror

import "github.com/authsync/authsync/internal/record"

// EventArray is SQL that takes what EventArgs gives.
const EventArray = eventArray

// EventArgs gives events as parameters, for tests that call SQL functions themselves.
func EventArgs(events []Event) []any { return eventArgs(pointers(events)) }

// Statements whose plans are tested.
const (
	LatestChange    = latestChange
	LatestRows      = latestRows
	NotifyChanges   = notifyChanges
	OrganizationsOf = organizationsOf
	SelectChanges   = selectChanges
	SelectOpen      = selectOpen
	SelectUser      = selectUser
	SelectUsers     = selectUsers
	Planned         = planned
)

// SelectNamed is what lists records by name.
func SelectNamed(d record.Definition, f RecordFilter) (query string, args []any) {
	return selectNamed(d, f)
}

// RecordStatements are what reads a record of a type and its sources, and what lists those behind an id.
func RecordStatements(d record.Definition, after string) (row, sources, list string, listArgs []any) {
	list, listArgs, err := selectRecords(d, RecordFilter{Type: d.Type, After: after, Limit: 20})
	if err != nil {
		panic(err) // of the test's own filter
	}
	return selectRecord(d), selectRecordSources(d), list, listArgs
}
