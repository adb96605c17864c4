package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/ingest/usage"
)

// Sizes of the plot of messages.
const (
	messageBarStep    = 2
	messagePlotWidth  = messageBarStep * usage.Intervals
	messagePlotHeight = 32
)

// messagePlot shows how many messages a project received a minute, within the last day.
type messagePlot struct {
	Bars      string // the path of all bars
	Now, Most string // a minute
	MostAt    time.Time
}

// Width and Height are those of the drawing.
func (*messagePlot) Width() int  { return messagePlotWidth }
func (*messagePlot) Height() int { return messagePlotHeight }

// messagePlotOf draws the counts of the last day, oldest first. It is nil if nothing was received. The last interval is not over:
// its messages are those of the minutes that have passed.
func messagePlotOf(counts []usage.Count, now time.Time) *messagePlot {
	p := &messagePlot{}
	rates := make([]float64, len(counts))
	highest := 0.0
	for n, c := range counts {
		passed := min(max(now.Sub(c.BeganAt), time.Minute), usage.Interval)
		rates[n] = float64(c.MessageCount) / passed.Minutes()
		if rates[n] > highest {
			highest, p.MostAt = rates[n], c.BeganAt
		}
	}
	if highest == 0 {
		return nil
	}
	p.Now, p.Most = rateText(rates[len(rates)-1]), rateText(highest)
	var bars strings.Builder
	for n, rate := range rates {
		if rate > 0 { // enough to be seen
			high := max(int(rate/highest*messagePlotHeight), 1)
			fmt.Fprintf(&bars, "M%d %dv-%dh%dv%dz", n*messageBarStep, messagePlotHeight, high, messageBarStep, high)
		}
	}
	p.Bars = bars.String()
	return p
}

// rateText is a number a minute, to the digit that matters.
func rateText(rate float64) string {
	switch {
	case rate == 0:
		return "0"
	case rate < 0.1:
		return "less than 0.1"
	case rate < 10:
		return strconv.FormatFloat(rate, 'f', 1, 64)
	default:
		return strconv.FormatFloat(rate, 'f', 0, 64)
	}
}
