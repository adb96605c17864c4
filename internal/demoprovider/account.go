package demoprovider

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Account is the users of a provider account. They are numbered from 0 in the
// order of their creation, three in each millisecond, and cost no memory.
type Account struct {
	// Changed, if set, is called when a user was created or deleted.
	Changed func(i int, exists bool)

	mu      sync.RWMutex
	n       int
	deleted []int // sorted
	created map[int]time.Time
	updated map[int]time.Time
	changed map[int]Profile
}

// Profile is what a person has set of a user; what is empty is generated.
type Profile struct {
	Email     string `json:"email,omitempty"`
	FirstName string `json:"first_name,omitempty"`
	LastName  string `json:"last_name,omitempty"`
}

// NewAccount returns an account with n users.
func NewAccount(n int) *Account {
	return &Account{n: n, created: map[int]time.Time{}, updated: map[int]time.Time{}, changed: map[int]Profile{}}
}

// Create adds a user, the newest, and returns its number.
func (a *Account) Create() int {
	a.mu.Lock()
	i := a.n
	a.n++
	a.mu.Unlock()
	if a.Changed != nil {
		a.Changed(i, true)
	}
	return i
}

// CreateAt adds a user who was created at a time of its own.
func (a *Account) CreateAt(at time.Time) int {
	a.mu.Lock()
	a.created[a.n], a.updated[a.n] = at, at
	a.mu.Unlock()
	return a.Create()
}

// Delete removes a user.
func (a *Account) Delete(i int) {
	a.mu.Lock()
	at, gone := slices.BinarySearch(a.deleted, i)
	if !gone {
		a.deleted = slices.Insert(a.deleted, at, i)
	}
	a.mu.Unlock()
	if !gone && a.Changed != nil {
		a.Changed(i, false)
	}
}

// SetProfile changes what a profile has of a user; what it leaves empty stays.
func (a *Account) SetProfile(i int, p Profile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.changed[i]
	a.changed[i] = Profile{
		Email: cmp.Or(p.Email, old.Email), FirstName: cmp.Or(p.FirstName, old.FirstName), LastName: cmp.Or(p.LastName, old.LastName),
	}
}

// profile is that of a user, as JSON texts; what nobody has set is as the parameters say.
func (a *Account) profile(i int, email, first, last string) (emailText, firstText, lastText, nameText []byte) {
	a.mu.RLock()
	p := a.changed[i]
	a.mu.RUnlock()
	p = Profile{Email: cmp.Or(p.Email, email), FirstName: cmp.Or(p.FirstName, first), LastName: cmp.Or(p.LastName, last)}
	return text(p.Email), text(p.FirstName), text(p.LastName), text(p.FirstName + " " + p.LastName)
}

func text(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return quoted
}

// Update changes a user at a time.
func (a *Account) Update(i int, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updated[i] = at
}

// Len is how many users there are.
func (a *Account) Len() int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.n - len(a.deleted)
}

// Users are the numbers of the users there are.
func (a *Account) Users() []int { return a.slice(0, a.Len()) }

// slice returns the numbers of at most limit users from a position on, in order of creation.
func (a *Account) slice(position, limit int) []int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	number := position
	for _, gone := range a.deleted {
		if gone <= number {
			number++
		}
	}
	var out []int
	for ; number < a.n && len(out) < limit; number++ {
		if _, gone := slices.BinarySearch(a.deleted, number); !gone {
			out = append(out, number)
		}
	}
	return out
}

// position is the place of a user in the order of creation.
func (a *Account) position(i int) int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	before, _ := slices.BinarySearch(a.deleted, i)
	return i - before
}

// has reports whether a user exists.
func (a *Account) has(i int) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, gone := slices.BinarySearch(a.deleted, i)
	return !gone && i >= 0 && i < a.n
}

// Times are those of creation and of the last change.
func (a *Account) Times(i int) (created, updated time.Time) {
	created = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i/3) * time.Millisecond)
	updated = created.Add(time.Hour)
	a.mu.RLock()
	defer a.mu.RUnlock()
	if at, own := a.created[i]; own {
		created = at
	}
	if at, changed := a.updated[i]; changed {
		updated = at
	}
	return created, updated
}
