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

// wait is how long an address must wait until it may try again; 0: it may now.
func (a *attempts) wait(from netip.Addr, now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	if a.wrong[network(from)] < maxAttempts {
		return 0
	}
	return a.began.Add(attemptWindow).Sub(now)
}

// failed counts a wrong key.
func (a *attempts) failed(from netip.Addr, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	if from = network(from); len(a.wrong) < maxAddresses || a.wrong[from] > 0 {
		a.wrong[from]++
	}
}

func (a *attempts) turn(now time.Time) {
	if passed := now.Sub(a.began); a.wrong == nil || passed < 0 || passed >= attemptWindow {
		a.began, a.wrong = now, map[netip.Addr]int{}
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
