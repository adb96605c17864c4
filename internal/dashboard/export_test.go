package dashboard

// The statements that the tests of plans run.
const (
	SelectFinished = selectFinished
	SelectTroubled = selectTroubled
)
