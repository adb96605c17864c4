package clone

import (
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
)

// busyPause is about how long a job waits whose source has its share of the workers.
const busyPause = 250 * time.Millisecond

// errBusy is why a job waits for others of its source.
var errBusy = errors.New("other clones of the same project are copied first")

// shares has the workers of this process shared by the sources: one may take as many as all together leave free. A source can have any
// number of clones, whose jobs would otherwise take all workers while its database does not answer.
type shares struct {
	mu    sync.Mutex
	free  int
	taken map[uuid.UUID]int
}

func newShares(workers int) *shares { return &shares{free: workers, taken: make(map[uuid.UUID]int)} }

// take takes a worker for a clone of a source, unless that has its share.
func (s *shares) take(source uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[source] >= s.free {
		return false
	}
	s.taken[source]++
	s.free--
	return true
}

func (s *shares) give(source uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	if s.taken[source]--; s.taken[source] == 0 {
		delete(s.taken, source)
	}
}
