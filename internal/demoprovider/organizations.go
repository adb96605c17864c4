package demoprovider

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"
)

// Organization is an organization of an account. Its members are users by number.
type Organization struct {
	Number      int
	Name        string
	Members     []Member
	Invitations []Invitation
	Updated     time.Time
}

// Member is the membership of a user.
type Member struct {
	User    int
	Role    string
	Updated time.Time
}

// Invitation is the invitation of an address.
type Invitation struct {
	Number      int
	Email, Role string
}

// Organizations are those of an account, in order of creation. The zero value has none.
type Organizations struct {
	mu  sync.RWMutex
	all []Organization
}

// organizationCreated is when an organization was created, one a minute.
func organizationCreated(number int) time.Time {
	return time.Date(2025, 6, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(number) * time.Minute)
}

// Add adds an organization, the newest.
func (o *Organizations) Add(name string, members []Member, invitations ...Invitation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number := 0
	if n := len(o.all); n > 0 {
		number = o.all[n-1].Number + 1
	}
	o.all = append(o.all, Organization{Number: number, Name: name, Members: members, Invitations: invitations, Updated: organizationCreated(number)})
}

// Remove deletes the organization of a number.
func (o *Organizations) Remove(number int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.DeleteFunc(o.all, func(of Organization) bool { return of.Number == number })
}

// Change changes the organization of a number.
func (o *Organizations) Change(number int, change func(*Organization)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.all {
		if o.all[i].Number == number {
			of := o.all[i]
			of.Members, of.Invitations = slices.Clone(of.Members), slices.Clone(of.Invitations)
			change(&of)
			o.all[i] = of
		}
	}
}

// list returns all of them.
func (o *Organizations) list() []Organization {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return slices.Clone(o.all)
}

// find returns the one that has an id.
func (o *Organizations) find(id string, idOf func(int) string) (Organization, bool) {
	for _, of := range o.list() {
		if idOf(of.Number) == id {
			return of, true
		}
	}
	return Organization{}, false
}

// demoOrganizations fills in what the demo has at first.
func demoOrganizations(o *Organizations) {
	for i, name := range []string{"Acme", "Babbage Engines", "Somerville Observatory"} {
		members := []Member{{User: 10 * i, Role: "admin"}}
		for n := 1; n <= 3+i; n++ {
			members = append(members, Member{User: 10*i + n, Role: "member"})
		}
		o.Add(name, members, Invitation{Number: i, Email: fmt.Sprintf("guest.%d@example.com", i), Role: "member"})
	}
}

func slugOf(name string) string {
	slug := []byte(cmp.Or(name, "organization"))
	for i, c := range slug {
		switch {
		case c >= 'A' && c <= 'Z':
			slug[i] = c + 'a' - 'A'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			slug[i] = '-'
		}
	}
	return string(slug)
}

// misplaced gives the part of a list that an answer shows which begins at a position, with what is
// wrong with the lists of organizations.
func misplaced[T any](p RecordPaging, all []T, offset, limit int) []T {
	if p.IgnoreOffset {
		offset = 0
	}
	if p.Most > 0 {
		limit = min(limit, p.Most)
	}
	if p.All {
		limit = len(all)
	}
	offset = min(offset, len(all))
	return all[offset:min(offset+limit, len(all))]
}

// RecordPaging is how the lists of organizations, memberships and invitations misbehave. Set it
// before the stand-in is used.
type RecordPaging struct {
	// Of is the list that misbehaves, by the last part of its path; empty: each of them.
	Of string
	// IgnoreOffset passes over position and checkpoint.
	IgnoreOffset bool
	// Most caps a page without a word; 0: as asked for.
	Most int
	// All gives everything from there on, however little was asked for.
	All bool
	// Entry stands in the place of each entry; empty: the entry.
	Entry string
	// Asked is called before each answer, with how many there were before.
	Asked func(n int)

	asked int
}

// recordPaging notes a request for a list of records, and returns what is wrong with it.
func (s *Server) recordPaging(r *http.Request) RecordPaging {
	s.mu.Lock()
	p := s.Records
	s.Records.asked++
	s.mu.Unlock()
	if p.Asked != nil {
		p.Asked(p.asked)
	}
	if p.Of != "" && p.Of != path.Base(r.URL.Path) {
		return RecordPaging{}
	}
	return p
}

// entry is an entry of a list.
func (p RecordPaging) entry(object string) string { return cmp.Or(p.Entry, object) }
