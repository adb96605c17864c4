package demoprovider

import (
	"maps"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// State is what a demo keeps from one run to the next.
type State struct {
	// URL is where it was served last.
	URL      string                  `json:"url"`
	Accounts map[string]AccountState `json:"accounts"`
	Failed   []FailedWebhook         `json:"failed,omitempty"`
	// Endpoints are those that authsync set up at Clerk, and how many it ever did.
	Endpoints     []SvixEndpoint `json:"endpoints,omitempty"`
	EndpointsMade int            `json:"endpoints_made,omitempty"`
}

// AccountState is what has been changed of an account.
type AccountState struct {
	Users   int               `json:"users"` // that there ever were
	Deleted []int             `json:"deleted"`
	Created map[int]time.Time `json:"created"`
	Updated map[int]time.Time `json:"updated"`
	Changed map[int]Profile   `json:"changed"`
}

func (s *State) accounts() map[string]AccountState {
	if s == nil {
		return nil
	}
	return s.Accounts
}

// State is the state of the demo now.
func (d *Demo) State(url string) State {
	s := State{URL: url, Accounts: map[string]AccountState{}, Failed: d.failed()}
	s.Endpoints, s.EndpointsMade = d.Clerk.Svix.endpointsMade()
	for _, name := range provider.Names() {
		s.Accounts[name] = d.account(name).state()
	}
	return s
}

func (a *Account) state() AccountState {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return AccountState{
		Users: a.n, Deleted: slices.Clone(a.deleted), Created: maps.Clone(a.created), Updated: maps.Clone(a.updated), Changed: maps.Clone(a.changed),
	}
}

func (a *Account) restore(s AccountState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n, a.deleted = s.Users, s.Deleted
	maps.Copy(a.created, s.Created)
	maps.Copy(a.updated, s.Updated)
	maps.Copy(a.changed, s.Changed)
}
