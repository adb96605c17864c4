package relay

import (
	"context"
	"fmt"
	"time"
)

const releaseDue = `SELECT authsync.release_due_deliveries($1, $2, $3)`

// releasePage is the number of deletions per transaction.
const releasePage = 500

// releaseDue has deletions sent whose holdback was over at a time. Behind the cursors in ended the feed had no more when it was
// read, which was after that time: so no record of these is one that was restored in time.
func (r *Relay) releaseDue(ctx context.Context, standings []standing, ended map[int64]bool, at time.Time) error {
	for i := range standings {
		f := &standings[i]
		for f.isDue(at) && ended[f.Cursor] {
			var n *int64
			if err := r.config.Pool.QueryRow(ctx, releaseDue, f.ID, at, releasePage).Scan(&n); err != nil {
				return fmt.Errorf("release what was held back: %w", err)
			}
			if n == nil || *n < releasePage {
				break
			}
		}
	}
	return nil
}
