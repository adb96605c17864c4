package mirror

// EventArray is SQL that takes what EventArgs gives.
const EventArray = eventArray

// EventArgs gives events as parameters, for tests that call SQL functions themselves.
func EventArgs(events []Event) []any { return eventArgs(pointers(events)) }

// Statements whose plans are tested.
const (
	LatestChange  = latestChange
	SelectChanges = selectChanges
	SelectSources = selectSources
	SelectOpen    = selectOpen
	SelectUser    = selectUser
	SelectUsers   = selectUsers
	Planned       = planned
)
