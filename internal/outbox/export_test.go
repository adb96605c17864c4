package outbox

import (
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/mirror"
)

// Mend gives the job that mends.
func Mend() river.JobArgs { return mendArgs{} }

// NextPage is how many changes are read after a page of that many.
func NextPage(page int, changes []mirror.FeedChange) int { return nextPage(page, changes) }
