package dashboard

// Statements whose plans are tested.
const (
	SelectFinished = selectFinished
	SelectTroubled = selectTroubled
)

// ReadOverviews is what the home page reads.
var ReadOverviews = readOverviews //nolint:gochecknoglobals // exported to tests

// MessagePlot is the plot of a project on the home page, which MessagePlotOf draws.
type MessagePlot = messagePlot

var MessagePlotOf = messagePlotOf //nolint:gochecknoglobals // exported to tests
