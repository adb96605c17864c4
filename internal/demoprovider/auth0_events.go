package demoprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Auth0EventScope is the scope that the Events API needs.
const Auth0EventScope = "read:events"

// Auth0Events is the Events API of a tenant: what has happened, as server-sent events. Set its fields
// before it is used.
type Auth0Events struct {
	// Connections is how many there may be at the same time; 0: one, as in the free plan.
	Connections int
	// Heartbeat is how often a silent connection shows that it lives; 0: never.
	Heartbeat time.Duration

	mu      sync.Mutex
	log     []auth0Event
	expired int // how many of them can no longer be had
	open    int
	opened  []string      // where each connection began
	most    int           // how many there were at once
	changed chan struct{} // closed with the next change; nil if nobody waits
	cycle   chan struct{} // closed when all connections end
	last    string        // what connections are told before they end
	ended   bool
}

// auth0Event is a place in the log; without a body nothing happened there.
type auth0Event struct {
	at   time.Time
	kind string
	body json.RawMessage
}

// Publish adds events, by what a webhook would post, to the log and to all connections.
func (e *Auth0Events) Publish(now time.Time, bodies ...[]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, body := range bodies {
		var envelope struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(body, &envelope) != nil {
			panic("demoprovider: an event is no JSON object")
		}
		e.log = append(e.log, auth0Event{at: now, kind: envelope.Type, body: slices.Clone(body)})
	}
	e.wake()
}

// Advance moves the log on by a place at which nothing happened.
func (e *Auth0Events) Advance(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, auth0Event{at: now})
	e.wake()
}

// Expire lets everything so far be too old to be had.
func (e *Auth0Events) Expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.expired = len(e.log)
}

// Recycle ends all connections, as Auth0 does every few minutes; message, which may be empty, is what
// they are told before.
func (e *Auth0Events) Recycle(message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.recycle(message)
}

// End ends all connections, and those that are still to come.
func (e *Auth0Events) End() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.recycle("")
}

func (e *Auth0Events) recycle(message string) {
	e.last = message
	if e.cycle != nil {
		close(e.cycle)
		e.cycle = nil
	}
}

// Opened is where each connection began: an offset, a time, or nothing.
func (e *Auth0Events) Opened() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.opened)
}

// Open is how many connections there are, Most how many there were at once.
func (e *Auth0Events) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open
}

// Most is how many connections there were at once.
func (e *Auth0Events) Most() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.most
}

// wake lets connections look; the caller holds mu.
func (e *Auth0Events) wake() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// Auth0Offset is the offset of a place in the log: the first place is 1.
func Auth0Offset(place int) string { return fmt.Sprintf("ofs_%022d", place) }

func (e *Auth0Events) place(offset string) (place int, known bool) {
	if _, err := fmt.Sscanf(offset, "ofs_%d", &place); err != nil {
		return 0, false
	}
	return place, offset == Auth0Offset(place) && place <= len(e.log)
}

// begin finds where a connection begins, or answers why there is none.
func (e *Auth0Events) begin(w http.ResponseWriter, r *http.Request) (place int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains([]string{"from", "from_timestamp", "event_type"}, name) {
			auth0Error(w, http.StatusBadRequest, "Query validation error: additional property "+name, "invalid_query_string")
			return 0, false
		}
	}
	offset, since := query.Get("from"), query.Get("from_timestamp")
	if offset != "" && since != "" {
		auth0Error(w, http.StatusBadRequest, "Query validation error: from and from_timestamp exclude each other", "invalid_query_string")
		return 0, false
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" { // it wins
		offset, since = last, ""
	}
	at, err := auth0Time(since)
	place, known := len(e.log), true
	switch {
	case offset != "":
		place, known = e.place(offset)
	case since != "":
		place = 0
		for place < len(e.log) && e.log[place].at.Before(at) {
			place++
		}
	}
	switch {
	case !strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		auth0Error(w, http.StatusNotAcceptable, "Accept must be text/event-stream", "not_acceptable")
	case err != nil || len(offset) > 1024 || !known:
		auth0Error(w, http.StatusBadRequest, "Invalid offset", "invalid_cursor")
	case offset != "" && place < e.expired:
		auth0Error(w, http.StatusGone, "The offset has expired", "cursor_expired")
	case e.open >= max(e.Connections, 1) || e.ended:
		auth0Error(w, http.StatusForbidden, "Too many concurrent connections", "")
	default:
		e.open++
		e.most = max(e.most, e.open)
		e.opened = append(e.opened, offset+since)
		return max(place, e.expired), true
	}
	return 0, false
}

// next returns what comes at a place and the channels that tell of more; nil if nothing is there yet.
func (e *Auth0Events) next(place int) (found *auth0Event, changed, cycle chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if place < len(e.log) {
		found = &e.log[place]
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	if e.cycle == nil && !e.ended {
		e.cycle = make(chan struct{})
	}
	return found, e.changed, e.cycle
}

// events answers GET /api/v2/events.
func (a *Auth0) events(w http.ResponseWriter, r *http.Request) {
	if !a.allows(w, Auth0EventScope) {
		return
	}
	e := &a.Events
	place, ok := e.begin(w, r)
	if !ok {
		return
	}
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.open--
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	out.SetWriteDeadline(time.Time{}) //nolint:errcheck,gosec // a writer without deadlines has none
	send := func(text string) {
		fmt.Fprint(w, text) // the client may have gone
		out.Flush()         //nolint:gosec // likewise
	}
	send(":connected\n\nretry: 2000\n\n")
	for {
		found, changed, cycle := e.next(place)
		if found != nil {
			place++
			send(found.message(Auth0Offset(place)))
			continue
		}
		var beat <-chan time.Time
		if e.Heartbeat > 0 {
			beat = time.After(e.Heartbeat)
		}
		select {
		case <-changed:
		case <-beat:
			send(": heartbeat\n\n")
		case <-cycle:
			e.mu.Lock()
			last := e.last
			e.mu.Unlock()
			send(last)
			return
		case <-r.Context().Done():
			return
		}
	}
}

// message is what a connection is sent.
func (e *auth0Event) message(offset string) string {
	kind, data := "offset-only", map[string]any{"offset": offset}
	if e.body != nil {
		kind, data["event"] = e.kind, e.body
	}
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // the body was JSON
	}
	return fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", kind, offset, text)
}

// Auth0StreamError is the message with which Auth0 ends a connection; offset may be empty.
func Auth0StreamError(code, offset string) string {
	text, err := json.Marshal(map[string]any{"error": map[string]any{"code": code, "message": "This is why.", "offset": offset}})
	if err != nil {
		panic(err) // texts are JSON
	}
	return "event: error\ndata: " + string(text) + "\n\n"
}
