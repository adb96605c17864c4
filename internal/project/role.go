package project

// Role is what a key may do, beside which projects it may do it to (Key.ProjectID). One rule decides which role
// something needs, whether it is a call of the API, a page or a form:
//
//   - ReadOnly if it changes nothing, neither here nor anywhere else. It may show personal data.
//   - Operator if it makes authsync start, repeat or stop work within its settings, so that it can be undone, or done
//     again without harm.
//   - Admin for everything else: what changes settings, secrets, rights or keys, what passes a guard, and the audit log,
//     which says who did what from where.
type Role string

// The roles; each includes those before it.
const (
	ReadOnly Role = "read_only"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles lists the roles, the weakest first.
func Roles() []Role { return []Role{ReadOnly, Operator, Admin} }

// Includes reports whether a role may do what another one may. An unknown role includes none and is included in none.
func (r Role) Includes(need Role) bool { return need.rank() > 0 && r.rank() >= need.rank() }

func (r Role) rank() int {
	switch r {
	case ReadOnly:
		return 1
	case Operator:
		return 2
	case Admin:
		return 3
	default:
		return 0
	}
}
