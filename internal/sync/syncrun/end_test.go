package syncrun_test

import (
	"testing"
	"time"

	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// The account of a run that is not done is kept for its next slice, and closed when the process ends before that.
func TestTheAccountOfAnUnfinishedRunIsClosedAtTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, 4, 2)
	b.account.before = func(cursor string) (*userapi.Page, error) {
		if cursor != "" {
			return nil, &userapi.RateLimitError{After: time.Hour}
		}
		return nil, nil //nolint:nilnil // the page itself
	}
	t.Run("Worker", func(t *testing.T) { // which ends with this part
		b.work(t, b.mirrors, time.Minute)
		b.start(t)
		b.eventually(t, func(run syncrun.Run) bool { return run.State == syncrun.Waiting })
	})
	b.account.requireClosed(t)
}
