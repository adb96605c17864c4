package dashboard

import (
	"encoding/json"
	"strings"
)

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

// RenderValue writes a value of a column as pages do.
func RenderValue(raw json.RawMessage) (string, error) {
	var text strings.Builder
	err := templates["record"].ExecuteTemplate(&text, "value", valueOf(raw, false, maxValueShown))
	return text.String(), err
}
