package receiver

import (
	"container/list"
	"context"
	"net/netip"
	"sync"

	"github.com/google/uuid"
)

// small is the maximum size, in bytes, of a body that may use the reserve: most are a few
// kilobytes.
const small = 32 << 10

// maxQueue is the maximum number of a project's requests that may wait for memory.
const maxQueue = 1000

// budget shares the memory for bodies. Anyone who knows a project's URL can send bodies slowly
// without knowing a secret, so no project and no address gets more than its share, and a reserve is
// kept for small bodies:
//
//	┌──────────────── total ────────────────┬─ reserve ─┐
//	│ any body                              │ small     │
//	└───────────────────────────────────────┴───────────┘
//	  a project: a quarter of each, an address: an eighth of each
//
// A request claims the whole size of its body before it reads it. Without free memory it waits,
// which slows down the sender through TCP, and the project that holds least is served first. A
// request never waits while it holds memory, so requests cannot deadlock.
type budget struct {
	general, reserve pool

	mu       sync.Mutex
	projects map[uuid.UUID]*holder
	waiting  *list.List // of *claim, oldest first
}

// pool is a part of the memory. budget.mu guards what is held of it.
type pool struct {
	size, perProject, perAddress int64

	held      int64
	addresses map[netip.Addr]int64
}

// holder is a project that holds or waits for memory.
type holder struct {
	general, reserve int64
	waiting          int
}

// claim is what one request holds or waits for.
type claim struct {
	project uuid.UUID
	address netip.Addr // invalid if unknown
	size    int64

	from    *pool // nil if it holds nothing
	granted chan struct{}
	queued  *list.Element
}

func newBudget(total, maxBody int64) *budget {
	part := func(size, atLeast int64) pool {
		p := pool{size: size, perProject: size / 4, perAddress: size / 8, addresses: make(map[netip.Addr]int64)}
		p.perProject = max(p.perProject, atLeast)
		p.perAddress = max(p.perAddress, atLeast)
		return p
	}
	reserve := total / 8
	return &budget{
		// Any single body fits, however large.
		general:  part(max(total-reserve, maxBody+1), maxBody+1),
		reserve:  part(max(reserve, small+1), min(small, maxBody)+1),
		projects: make(map[uuid.UUID]*holder), waiting: list.New(),
	}
}

// take waits for memory until ctx ends. It reports whether the claim now holds it; return it with
// release.
func (b *budget) take(ctx context.Context, c *claim) bool {
	b.mu.Lock()
	h := b.holder(c.project)
	if b.grant(c, h) {
		b.mu.Unlock()
		return true
	}
	if h.waiting >= maxQueue {
		b.forget(c.project, h)
		b.mu.Unlock()
		return false
	}
	h.waiting++
	c.granted = make(chan struct{})
	c.queued = b.waiting.PushBack(c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return true
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.queued == nil {
		return true // granted at the same moment
	}
	b.leave(c)
	b.forget(c.project, h)
	return false
}

// grow raises a claim without waiting.
func (b *budget) grow(c *claim, size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.holder(c.project)
	bigger := &claim{project: c.project, address: c.address, size: size}
	b.put(c, h)
	if b.grant(bigger, h) {
		c.size, c.from = bigger.size, bigger.from
		return true
	}
	b.hold(c, h, c.from) // restore
	return false
}

// release returns what a claim holds.
func (b *budget) release(c *claim) {
	if c.from == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.holder(c.project)
	b.put(c, h)
	c.from = nil
	b.forget(c.project, h)
	b.serve()
}

// serve grants free memory to waiting claims: first to the project that holds least, and within it
// to the oldest that fits.
func (b *budget) serve() {
	for {
		var next *claim
		var least int64
		for e := b.waiting.Front(); e != nil; e = e.Next() {
			c, _ := e.Value.(*claim)
			h := b.projects[c.project]
			if held := h.general + h.reserve; (next == nil || held < least) && b.fitting(c, h) != nil {
				next, least = c, held
			}
		}
		if next == nil {
			return
		}
		h := b.projects[next.project]
		b.leave(next)
		b.grant(next, h)
		close(next.granted)
	}
}

func (b *budget) leave(c *claim) {
	b.waiting.Remove(c.queued)
	c.queued = nil
	b.projects[c.project].waiting--
}

// fitting returns the pool that has enough free memory for a claim.
func (b *budget) fitting(c *claim, h *holder) *pool {
	switch {
	case b.general.fits(c, h.general):
		return &b.general
	case c.size <= small+1 && b.reserve.fits(c, h.reserve):
		return &b.reserve
	default:
		return nil
	}
}

func (p *pool) fits(c *claim, held int64) bool {
	return p.held+c.size <= p.size && held+c.size <= p.perProject &&
		(!c.address.IsValid() || p.addresses[c.address]+c.size <= p.perAddress)
}

func (b *budget) grant(c *claim, h *holder) bool {
	p := b.fitting(c, h)
	if p != nil {
		b.hold(c, h, p)
	}
	return p != nil
}

func (b *budget) hold(c *claim, h *holder, p *pool) {
	c.from = p
	b.account(c, h, c.size)
}

func (b *budget) put(c *claim, h *holder) { b.account(c, h, -c.size) }

func (b *budget) account(c *claim, h *holder, size int64) {
	p := c.from
	p.held += size
	if p == &b.general {
		h.general += size
	} else {
		h.reserve += size
	}
	if !c.address.IsValid() {
		return
	}
	if p.addresses[c.address] += size; p.addresses[c.address] == 0 {
		delete(p.addresses, c.address)
	}
}

func (b *budget) holder(id uuid.UUID) *holder {
	h := b.projects[id]
	if h == nil {
		h = &holder{}
		b.projects[id] = h
	}
	return h
}

// forget removes a project that neither holds nor waits.
func (b *budget) forget(id uuid.UUID, h *holder) {
	if *h == (holder{}) {
		delete(b.projects, id)
	}
}
