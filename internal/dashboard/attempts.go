package dashboard

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxAttempts is how many wrong keys an address may enter within attemptWindow.
	maxAttempts   = 10
	attemptWindow = time.Minute
	// maxAddresses bounds the memory; further addresses are not counted. That is no way around: a key has 256 random bits.
	maxAddresses = 10_000
)

// attempts counts wrong keys by address, so that nobody can keep the database and the log busy by trying some.
type attempts struct {
	mu    sync.Mutex
	began time.Time
	wrong map[netip.Addr]int
}

// begin counts an attempt, until it is forgiven: while a key is looked for, nobody knows that it is right. wait is how
// long its address must wait until it may try again; 0: it may now.
func (a *attempts) begin(from netip.Addr, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if passed := now.Sub(a.began); a.wrong == nil || passed < 0 || passed >= attemptWindow {
		a.began, a.wrong = now, map[netip.Addr]int{}
	}
	if from.IsLoopback() { // a proxy that is not listed: behind it is everybody
		return 0
	}
	from = network(from)
	if a.wrong[from] >= maxAttempts {
		return a.began.Add(attemptWindow).Sub(now)
	}
	if len(a.wrong) < maxAddresses || a.wrong[from] > 0 {
		a.wrong[from]++
	}
	return 0
}

// forgive takes back an attempt that was not with a wrong key.
func (a *attempts) forgive(from netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if from = network(from); a.wrong[from] > 0 {
		a.wrong[from]--
	}
	if a.wrong[from] == 0 {
		delete(a.wrong, from)
	}
}

// network is what one sender usually has: an IPv4 address, or 64 bits of an IPv6 address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return prefix.Addr()
}
