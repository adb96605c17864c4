package schema

// Word says in a word how the schema compares with what this binary needs: current,
// behind, newer, interrupted or missing.
func (s State) Word() string {
	switch {
	case s.Version == 0:
		return "missing"
	case s.Dirty:
		return "interrupted"
	case s.Newer():
		return "newer"
	case s.UpToDate():
		return "current"
	default:
		return "behind"
	}
}
