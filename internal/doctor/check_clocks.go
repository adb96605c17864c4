package doctor

import (
	"context"
	"fmt"
	"time"
)

// maxSkew is the maximum difference between clocks: half of the smallest tolerance of signed
// timestamps.
const maxSkew = 30 * time.Second

// clocks compares the control database's clock with this machine's.
func clocks(ctx context.Context, c *Control) ([]Fault, error) {
	before := c.Now()
	var theirs time.Time
	if err := c.Pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return nil, err
	}
	middle := before.Add(c.Now().Sub(before) / 2)
	skew := theirs.Sub(middle).Abs()
	if skew <= maxSkew {
		return nil, nil
	}
	return []Fault{{
		What: fmt.Sprintf("the clock of the control database and this machine's are %s apart", skew.Round(time.Second)),
		Next: "run NTP on both",
	}}, nil
}
