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
	SelectUsers     = selectUsers
	SelectByEmail   = selectUsersByEmail
	Planned         = planned
)

// SelectNamed is what lists records by name.
func SelectNamed(d record.Definition, f RecordFilter) (query string, args []any) {
	return selectNamed(d, f)
}

// RecordStatements are what reads a record of a type, and its sources.
func RecordStatements(d record.Definition) (row, sources string) {
	return selectRecord(d), selectRecordSources(d)
}

// SelectRecords is what lists the records that a filter chooses.
func SelectRecords(f RecordFilter) (query string, args []any, err error) {
	d, _ := record.Of(f.Type)
	return selectRecords(d, f)
}
