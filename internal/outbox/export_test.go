package outbox

import "github.com/riverqueue/river"

// Mend gives the job that mends.
func Mend() river.JobArgs { return mendArgs{} }
