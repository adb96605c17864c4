package schema

// Word summarizes the state: current, behind, newer, interrupted, damaged or missing; or compatible
// if a newer authsync has upgraded the schema and this binary still works with it.
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
