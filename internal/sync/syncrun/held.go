package syncrun

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/sync/source"
)

// cacheFor is how long an account is kept for the next slice of its run, which this or another
// process may work.
const cacheFor = 10 * time.Minute

// sourceCache keeps the accounts of runs between slices: an account holds its access token and a
// partly read download.
type sourceCache struct {
	mu       sync.Mutex
	accounts map[uuid.UUID]cachedSource
}

type cachedSource struct {
	account source.Account
	used    time.Time
}

// take returns the cached account, unless the credentials have changed since.
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

// release drops a run's account.
func (h *sourceCache) release(runID uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.accounts[runID]; ok {
		old.account.Close()
		delete(h.accounts, runID)
	}
}

// close drops all accounts.
func (h *sourceCache) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, kept := range h.accounts {
		kept.account.Close()
		delete(h.accounts, id)
	}
}
