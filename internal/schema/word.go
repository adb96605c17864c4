package schema

// Word says in a word how the schema compares with what this binary needs: current,
// behind, newer, interrupted, damaged or missing; or compatible: a newer authsync has
// upgraded it, and this binary can go on working.
func (s State) Word() string {
	switch {
	case s.Version == 0:
		return "missing"
	case s.damaged():
		return "damaged"
	case s.Newer() && s.Compatible():
		return "compatible"
	case s.Newer():
		return "newer"
	case s.Dirty:
		return "interrupted"
	case s.UpToDate():
		return "current"
	default:
		return "behind"
	}
}
