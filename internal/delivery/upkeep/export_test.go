package upkeep

// The statements that the tests of plans run.
const (
	SelectToRescue = selectToRescue
	RequestDue     = requestDue
)
