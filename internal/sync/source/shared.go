package source

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// Shared caches opened accounts, so that readers of single records share an access token and a
// connection: a token costs a request and, at Auth0, money. Credentials are looked up each time, so
// a new secret applies to the next call. Do not read pages through it: a walk keeps its own
// downloads open.
type Shared struct {
	accounts Accounts

	mu   sync.Mutex
	kept map[sharedKey]Account
}

type sharedKey struct {
	projectID uuid.UUID
	provider  string
}

// NewShared returns a cache over accounts; call Close at the end.
func NewShared(accounts Accounts) *Shared {
	return &Shared{accounts: accounts, kept: make(map[sharedKey]Account)}
}

// Open opens an account or returns the open one; see Accounts. Closing the result does nothing.
func (s *Shared) Open(ctx context.Context, projectID uuid.UUID, providerName string) (Account, error) {
	opened, err := s.accounts.Open(ctx, projectID, providerName)
	key := sharedKey{projectID, providerName}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, known := s.kept[key]
	switch {
	case err != nil:
		return Account{}, err
	case known && kept.Digest == opened.Digest:
		opened.Close()
		opened.Source = kept.Source
	case known:
		kept.Close()
		s.kept[key] = opened
	default:
		s.kept[key] = opened
	}
	opened.isShared = true
	return opened, nil
}

// Close closes all open accounts.
func (s *Shared) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, kept := range s.kept {
		kept.Close()
		delete(s.kept, key)
	}
}
