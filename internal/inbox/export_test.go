package inbox

// Maintain at a time of the test's choice, and the bounds that tests reach for.
var MaintainAt = maintain //nolint:gochecknoglobals // exported to tests

const (
	JobMaxDeliveries = jobMaxDeliveries
	ReplayPage       = replayPage
)
