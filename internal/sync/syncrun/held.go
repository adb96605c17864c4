package syncrun

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/sync/source"
)

// cacheFor is how long an account is kept for the next slice of its run, which
// may come here or to another process.
const cacheFor = 10 * time.Minute

// sourceCache keeps the accounts of runs from one slice to the next: with an account
// go its access token and a download that is half read.
type sourceCache struct {
	mu       sync.Mutex
	accounts map[uuid.UUID]cachedSource
}

type cachedSource struct {
	account source.Account
	used    time.Time
}

// take gives the account to work with: the one held, unless the credentials
// have changed since.
func (h *sourceCache) take(runID uuid.UUID, fresh source.Account) source.Account {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for id, other := range h.accounts {
		if id != runID && now.Sub(other.used) > cacheFor {
			other.account.Close()
			delete(h.accounts, id)
		}
	}
	if old, ok := h.accounts[runID]; ok {
		if old.account.Digest == fresh.Digest {
			fresh.Close()
			h.accounts[runID] = cachedSource{account: old.account, used: now}
			return old.account
		}
		old.account.Close()
	}
	h.accounts[runID] = cachedSource{account: fresh, used: now}
	return fresh
}

// release lets go of a run's account.
func (h *sourceCache) release(runID uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.accounts[runID]; ok {
		old.account.Close()
		delete(h.accounts, runID)
	}
}
