package mirror

// Encode gives the argument of apply_events for tests that call it themselves.
func Encode(events []Event) []byte {
	docs := make([][]byte, len(events))
	for i := range events {
		docs[i] = encode(&events[i])
	}
	return join(docs)
}

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
