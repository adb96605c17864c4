package backfill

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/account"
)

// heldFor is how long an account is kept for the next slice of its run, which
// may come here or to another process.
const heldFor = 10 * time.Minute

// held keeps the accounts of runs from one slice to the next: with an account
// go its access token and a download that is half read.
type held struct {
	mu       sync.Mutex
	accounts map[uuid.UUID]holding
}

type holding struct {
	account account.Account
	used    time.Time
}

// take gives the account to work with: the one held, unless the credentials
// have changed since.
func (h *held) take(runID uuid.UUID, fresh account.Account) account.Account {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for id, other := range h.accounts {
		if id != runID && now.Sub(other.used) > heldFor {
			other.account.Close()
			delete(h.accounts, id)
		}
	}
	if old, ok := h.accounts[runID]; ok {
		if old.account.Digest == fresh.Digest {
			fresh.Close()
			h.accounts[runID] = holding{account: old.account, used: now}
			return old.account
		}
		old.account.Close()
	}
	h.accounts[runID] = holding{account: fresh, used: now}
	return fresh
}

// release lets go of a run's account.
func (h *held) release(runID uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.accounts[runID]; ok {
		old.account.Close()
		delete(h.accounts, runID)
	}
}
