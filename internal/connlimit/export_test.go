package connlimit

// Quiet is how many connections are new or idle.
func (l *Listener) Quiet() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quiet.Len()
}
