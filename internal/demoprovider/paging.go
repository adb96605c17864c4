package demoprovider

import (
	"math/rand/v2"
	"slices"
)

// Paging is how the lists of a stand-in misbehave, as those of a provider do that
// has changed, or that stands behind a proxy that drops parameters. The zero value
// is a list as it should be.
type Paging struct {
	// IgnoreCursor passes over the cursor, IgnoreOffset over position and page number.
	IgnoreCursor, IgnoreOffset bool
	// Size is how many entries a page has, whatever was asked for; Most caps it
	// without a word. 0: as asked for.
	Size, Most int
	// LastForever gives the last page again behind the end.
	LastForever bool
	// TwoPages gives the first two pages in turns.
	TwoPages bool
	// Wrap begins anew behind the end.
	Wrap bool
	// EmptyPage is the number of a page, from 1, that is empty when it is asked for
	// first; Hole is a position from which on pages stay empty. 0: none.
	EmptyPage, Hole int
	// Twice names the last user of each page twice; Overlap begins each page with
	// the last user of the one before.
	Twice, Overlap bool
	// Newest lists the newest user first, whatever order was asked for; Shuffled
	// gives each page by an order of its own.
	Newest, Shuffled bool
	// Create is before how many pages a user is created.
	Create int
	// Count changes the number of users that is told; nil: the true one.
	Count func(n int) int

	pages int
}

// pick gives the numbers of the users of a page that begins at a position.
func (s *Server) pick(a *Account, offset, limit int, byCursor bool) []int {
	s.mu.Lock()
	p := s.Paging
	if limit > 1 { // others only ask for the total
		s.Paging.pages++
	}
	p.pages = s.Paging.pages
	s.mu.Unlock()
	if limit > 1 && p.pages <= p.Create {
		a.Create()
	}
	if byCursor && p.IgnoreCursor || !byCursor && p.IgnoreOffset {
		offset = 0
	}
	if p.Size > 0 {
		limit = p.Size
	}
	if p.Most > 0 {
		limit = min(limit, p.Most)
	}
	all := a.Len()
	switch {
	case p.TwoPages:
		offset = (p.pages - 1) % 2 * limit
	case p.LastForever && offset >= all:
		offset = max(all-limit, 0)
	case p.Wrap && all > 0:
		offset %= all
	case p.Overlap:
		offset = max(offset-1, 0)
	}
	if p.EmptyPage == p.pages || p.Hole > 0 && offset >= p.Hole {
		return nil
	}
	users := p.order(a, offset, limit)
	if p.Hole > 0 {
		users = users[:min(len(users), p.Hole-offset)]
	}
	if p.Twice && len(users) > 0 {
		users = append(users, users[len(users)-1])
	}
	return users
}

// order gives the users of a page in the order that the list has.
func (p *Paging) order(a *Account, offset, limit int) []int {
	if !p.Newest && !p.Shuffled && !p.Wrap {
		return a.slice(offset, limit)
	}
	all := a.Users()
	switch {
	case p.Shuffled:
		random := rand.New(rand.NewPCG(1, uint64(p.pages))) //nolint:gosec // a count
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	case p.Newest:
		slices.Reverse(all)
	case p.Wrap:
		all = append(all, all[:min(limit, len(all))]...)
	}
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}

// count is the number of users that is told.
func (s *Server) count(a *Account) int {
	if s.Paging.Count != nil {
		return s.Paging.Count(a.Len())
	}
	return a.Len()
}
