package demoprovider

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Auth0StreamScopes are the scopes that redelivering needs, Auth0ManageScopes those that setting up a stream
// needs beside.
const (
	Auth0StreamScopes = "read:event_streams read:event_deliveries update:event_deliveries"
	Auth0ManageScopes = "create:event_streams update:event_streams delete:event_streams"
)

// Auth0EnableScope is the scope that enabling an event stream needs.
const Auth0EnableScope = "update:event_streams"

// Auth0Streams are the event streams of a tenant and the deliveries of theirs
// that failed. Set its fields before it is used.
type Auth0Streams struct {
	// Streams are those there are.
	Streams []Auth0Stream
	// Bare answers lists as mere arrays, which have no next page.
	Bare bool
	// Busy refuses redeliveries with 409.
	Busy bool
	// To is where redelivered events are posted, in place of the scheme and host
	// of their stream's endpoint. Empty: they are pending and stay so.
	To string
	// Limit is how many streams the plan allows; 0: any number. FailedLimit is from how many failed deliveries on a
	// stream cannot be enabled; 0: 5000.
	Limit, FailedLimit int
	// Local allows endpoints on this machine without https, for a demo on one machine.
	Local bool
	// LoseTests takes test events, and sends none.
	LoseTests bool

	made, tests int // streams created, test events sent

	mu         sync.Mutex
	deliveries map[string][]*auth0Delivery // by stream
	posts      sync.WaitGroup
	posted     []int  // the statuses of the answers
	settled    func() // is called when deliveries were sent again; nil: nothing is
}

// Auth0Stream is an event stream.
type Auth0Stream struct {
	ID       string // est_ and 22 characters
	Name     string
	Endpoint string // of the webhook; empty: it goes to EventBridge
	Token    string // of the header Authorization: Bearer, unless Authorization says otherwise
	Disabled bool
	// Types are the types it sends; empty: user.created.
	Types []string
	// Authorization is the webhook_authorization it was created with.
	Authorization map[string]string
}

// headers are those that prove a request of the stream.
func (s *Auth0Stream) headers() map[string]string {
	a := s.Authorization
	switch a["method"] {
	case "basic":
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(a["username"]+":"+a["password"]))}
	case "custom_header":
		return map[string]string{a["header_key"]: a["header_value"]}
	case "bearer":
		return map[string]string{"Authorization": "Bearer " + a["token"]}
	default:
		return map[string]string{"Authorization": "Bearer " + s.Token}
	}
}

type auth0Delivery struct {
	id, kind string
	at       time.Time
	status   string
	event    map[string]any
	failure  string // of the last attempt; empty: 503
}

// AddFailed adds deliveries of a stream that failed, by what was posted.
func (s *Auth0Streams) AddFailed(stream string, bodies ...[]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deliveries == nil {
		s.deliveries = map[string][]*auth0Delivery{}
	}
	for _, body := range bodies {
		d := &auth0Delivery{status: "failed"}
		if json.Unmarshal(body, &d.event) != nil {
			panic("demoprovider: an event is no JSON object")
		}
		d.id, d.kind = fmt.Sprint(d.event["id"]), fmt.Sprint(d.event["type"])
		var err error
		if d.at, err = time.Parse(time.RFC3339Nano, fmt.Sprint(d.event["time"])); err != nil {
			panic("demoprovider: an event has no time")
		}
		s.deliveries[stream] = append(s.deliveries[stream], d)
	}
}

// With is how many deliveries of a stream have that status.
func (s *Auth0Streams) With(stream, status string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, d := range s.deliveries[stream] {
		if d.status == status {
			n++
		}
	}
	return n
}

// Posted waits until all that was to be posted is, and returns the statuses of the answers.
func (s *Auth0Streams) Posted() []int {
	s.posts.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.posted)
}

// allows reports that a token has one of the scopes, and refuses otherwise.
func (a *Auth0) allows(w http.ResponseWriter, scopes ...string) bool {
	granted := strings.Fields(setting(&a.Server, &a.Scope))
	for _, scope := range scopes {
		if slices.Contains(granted, scope) {
			return true
		}
	}
	auth0Error(w, http.StatusForbidden, "Insufficient scope, expected any of: "+strings.Join(scopes, ", "), "insufficient_scope")
	return false
}

// streams answers what is below event-streams.
func (a *Auth0) streams(w http.ResponseWriter, r *http.Request, path string) {
	parts := strings.Split(path, "/")
	switch {
	case len(parts) == 1 && r.Method == http.MethodGet:
		a.listStreams(w, r)
		return
	case len(parts) == 1 && r.Method == http.MethodPost:
		a.createStream(w, r)
		return
	}
	stream := a.Streams.Stream(parts[1])
	below := strings.Join(parts[2:], "/")
	switch {
	case stream == nil:
		auth0Error(w, http.StatusNotFound, "The event stream does not exist.", "inexistent_event_stream")
	case below == "":
		a.oneStream(w, r, stream)
	case below == "test" && r.Method == http.MethodPost:
		a.testStream(w, r, stream)
	case len(parts) == 4 && parts[2] == "deliveries" && r.Method == http.MethodGet:
		a.oneDelivery(w, stream, parts[3])
	case len(parts) != 3:
		auth0Error(w, http.StatusNotFound, "Not Found", "")
	case parts[2] == "deliveries" && r.Method == http.MethodGet:
		a.listDeliveries(w, r, stream)
	case parts[2] == "redeliver" && r.Method == http.MethodPost:
		a.redeliver(w, r, stream)
	default:
		auth0Error(w, http.StatusNotFound, "Not Found", "")
	}
}

// SetDisabled disables or enables a stream.
func (s *Auth0Streams) SetDisabled(stream string, disabled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Streams {
		if s.Streams[i].ID == stream {
			s.Streams[i].Disabled = disabled
		}
	}
}

// IsDisabled reports whether a stream is disabled.
func (s *Auth0Streams) IsDisabled(stream string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Streams {
		if s.Streams[i].ID == stream {
			return s.Streams[i].Disabled
		}
	}
	return false
}

func (a *Auth0) listStreams(w http.ResponseWriter, r *http.Request) {
	if !a.allows(w, "read:event_streams") {
		return
	}
	a.Streams.mu.Lock()
	var list []any
	for _, s := range a.Streams.Streams {
		list = append(list, s.document())
	}
	a.Streams.mu.Unlock()
	a.writePage(w, r, "eventStreams", list)
}

// writePage answers a page of a list. As Auth0 does, the last page with data has
// a next one too, if it is full.
func (a *Auth0) writePage(w http.ResponseWriter, r *http.Request, key string, list []any) {
	take, err := number(r, "take", 50)
	at := 0
	if from := r.URL.Query().Get("from"); err == nil && from != "" {
		at, err = strconv.Atoi(strings.TrimPrefix(from, "cursor/"))
	}
	if err != nil || take < 1 || take > 100 || at < 0 {
		auth0Error(w, http.StatusBadRequest, "Query validation error: take must be <= 100", "invalid_query_string")
		return
	}
	end := min(at+take, len(list))
	page := append([]any{}, list[min(at, end):end]...)
	var answer any = page
	if !a.Streams.Bare {
		object := map[string]any{key: page}
		if len(page) == take {
			object["next"] = "cursor/" + strconv.Itoa(end)
		}
		answer = object
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	writeJSON(w, http.StatusOK, string(text))
}

// auth0Time reads a time as these calls take it: 20 characters at most, no fraction.
func auth0Time(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || len(text) > 20 || strings.Contains(text, ".") {
		return time.Time{}, fmt.Errorf("%q is no date-time without a fraction", text)
	}
	return at, nil
}

// between gives the deliveries of a stream in a time, to excluded.
func (s *Auth0Streams) between(stream, from, to string) ([]*auth0Delivery, error) {
	since, err := auth0Time(from)
	if err != nil {
		return nil, err
	}
	until, err := auth0Time(to)
	if err != nil {
		return nil, err
	}
	var found []*auth0Delivery
	for _, d := range s.deliveries[stream] {
		if !d.at.Before(since) && (until.IsZero() || d.at.Before(until)) {
			found = append(found, d)
		}
	}
	return found, nil
}

func (a *Auth0) listDeliveries(w http.ResponseWriter, r *http.Request, stream *Auth0Stream) {
	if !a.allows(w, "read:event_streams", "read:event_deliveries") {
		return
	}
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains([]string{"statuses", "event_types", "date_from", "date_to", "from", "take"}, name) {
			auth0Error(w, http.StatusBadRequest, "Query validation error: additional property "+name, "invalid_query_string")
			return
		}
	}
	a.Streams.mu.Lock()
	defer a.Streams.mu.Unlock()
	found, err := a.Streams.between(stream.ID, query.Get("date_from"), query.Get("date_to"))
	if err != nil {
		auth0Error(w, http.StatusBadRequest, "Query validation error: "+err.Error(), "invalid_query_string")
		return
	}
	var list []any
	for _, d := range found {
		if statuses := query.Get("statuses"); statuses == "" || slices.Contains(strings.Split(statuses, ","), d.status) {
			list = append(list, listedDelivery{d, stream.ID})
		}
	}
	a.writePage(w, r, "deliveries", list)
}

// listedDelivery is a delivery as lists have it, with less of the event than was posted. It is made when a page
// is written, and only what is on the page.
type listedDelivery struct {
	*auth0Delivery

	stream string
}

// MarshalJSON writes the entry of a list.
func (d listedDelivery) MarshalJSON() ([]byte, error) {
	var event map[string]any
	text, err := json.Marshal(d.event)
	if err != nil || json.Unmarshal(text, &event) != nil {
		panic("demoprovider: an event cannot be copied")
	}
	event["source"] = "urn:auth0:"
	delete(event, "a0purpose")
	if data, ok := event["data"].(map[string]any); ok {
		if object, ok := data["object"].(map[string]any); ok {
			delete(object, "multifactor")
			delete(object, "identities")
		}
	}
	failure := cmp.Or(d.failure, "503")
	return json.Marshal(map[string]any{
		"id": d.id, "event_stream_id": d.stream, "event_type": d.kind, "status": d.status, "event": event,
		"attempts": []any{map[string]any{"status": "failed", "timestamp": d.at.Add(time.Second).Format(time.RFC3339Nano), "error_message": failure, "duration": 12}},
	})
}
