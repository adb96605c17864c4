package hubspottest

import (
	"math/rand/v2"
	"net/http"
	"strings"
)

// FaultKind is a way in which an answer goes wrong.
type FaultKind int

// What may go wrong.
const (
	FaultNone   FaultKind = iota
	FaultBefore           // nothing is done; the answer is Fault.Status
	FaultAfter            // it is done all the same; the answer is Fault.Status
	FaultCut              // it is done, and the answer breaks off in the middle
	FaultHang             // it is done, and the answer never comes
)

// Fault is something that goes wrong with one request.
type Fault struct {
	Kind FaultKind
	// Method and Path, if set, say which request: the path begins so.
	Method, Path string
	Status       int // 0: 502
	Header       http.Header
	Body         string // empty: a page of a proxy
}

// Faults says how often requests go wrong at random: each share is between 0 and 1.
type Faults struct {
	Seed                     uint64
	Before, After, Cut, Hang float64
}

type faults struct {
	shares  Faults
	random  *rand.Rand
	planned []Fault
}

func newFaults(f Faults) faults {
	return faults{shares: f, random: rand.New(rand.NewPCG(f.Seed, f.Seed))}
}

// Fail lets the next requests go wrong that each fault concerns, one after the other.
func (h *HubSpot) Fail(f ...Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults.planned = append(h.faults.planned, f...)
}

// Heal ends the faults, planned ones and those at random.
func (h *HubSpot) Heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = newFaults(Faults{})
}

func (f *faults) next(method, path string) Fault {
	for i, planned := range f.planned {
		if (planned.Method == "" || planned.Method == method) && strings.HasPrefix(path, planned.Path) {
			f.planned = append(f.planned[:i:i], f.planned[i+1:]...)
			return planned
		}
	}
	at := f.random.Float64()
	for _, share := range []struct {
		kind FaultKind
		of   float64
	}{{FaultBefore, f.shares.Before}, {FaultAfter, f.shares.After}, {FaultCut, f.shares.Cut}, {FaultHang, f.shares.Hang}} {
		if at < share.of {
			return Fault{Kind: share.kind}
		}
		at -= share.of
	}
	return Fault{}
}

func (f Fault) before() bool { return f.Kind == FaultBefore }

func (f Fault) answer() *answer {
	status, body := f.Status, f.Body
	if status == 0 {
		status = http.StatusBadGateway
	}
	if body == "" {
		body = "<html><head><title>502 Bad Gateway</title></head></html>"
	}
	return &answer{status: status, header: f.Header, body: body}
}
