package demoprovider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// failedLimit is from how many failed deliveries on Auth0 does not enable a stream.
const failedLimit = 5000

// auth0EventTypes are those of the event catalog.
const auth0EventTypes = `user.created user.updated user.deleted organization.created organization.updated organization.deleted
	organization.member.added organization.member.deleted organization.member.role.assigned organization.member.role.deleted
	organization.connection.added organization.connection.updated organization.connection.removed
	organization.group.role.assigned organization.group.role.deleted
	group.created group.updated group.deleted group.member.added group.member.deleted group.role.assigned group.role.deleted
	connection.created connection.updated connection.deleted`

// Stream is a copy of the stream of an id; nil: there is none.
func (s *Auth0Streams) Stream(id string) *Auth0Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.Streams {
		if one.ID == id {
			return &one
		}
	}
	return nil
}

// All is a copy of the streams there are.
func (s *Auth0Streams) All() []Auth0Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.Streams)
}

// Start has the streams be these, and what is redelivered be posted to an address; see To.
func (s *Auth0Streams) Start(to string, streams ...Auth0Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.To, s.Streams = to, streams
}

// Change changes the stream of an id, as a person does in the dashboard.
func (s *Auth0Streams) Change(id string, change func(*Auth0Stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Streams {
		if s.Streams[i].ID == id {
			change(&s.Streams[i])
		}
	}
}

// document is a stream as it is answered: without its secret.
func (s *Auth0Stream) document() map[string]any {
	status := "enabled"
	if s.Disabled {
		status = "disabled"
	}
	destination := map[string]any{"type": "eventbridge", "configuration": map[string]any{"aws_account_id": "123456789012", "aws_region": "eu-west-1"}}
	if s.Endpoint != "" {
		method := s.Authorization["method"]
		if method == "" {
			method = "bearer"
		}
		destination = map[string]any{"type": "webhook", "configuration": map[string]any{
			"webhook_endpoint": s.Endpoint, "webhook_authorization": map[string]any{"method": method},
		}}
	}
	types := s.Types
	if len(types) == 0 {
		types = []string{"user.created"}
	}
	var subscriptions []any
	for _, name := range types {
		subscriptions = append(subscriptions, map[string]any{"event_type": name})
	}
	return map[string]any{
		"id": s.ID, "name": s.Name, "status": status, "destination": destination, "subscriptions": subscriptions, "created_at": "2026-05-01T00:00:00.000Z",
	}
}

// streamOrder is what creates or changes a stream.
type streamOrder struct {
	Name          *string `json:"name"`
	Status        *string `json:"status"`
	Subscriptions []struct {
		EventType string `json:"event_type"`
	} `json:"subscriptions"`
	Destination *struct {
		Type          string `json:"type"`
		Configuration struct {
			Endpoint      string            `json:"webhook_endpoint"`
			Authorization map[string]string `json:"webhook_authorization"`
		} `json:"configuration"`
	} `json:"destination"`
}

// readOrder reads and checks what was sent. Auth0's errors repeat what they are about.
func (a *Auth0) readOrder(r *http.Request) (o streamOrder, err error) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&o); err != nil {
		return o, err
	}
	if o.Status != nil && *o.Status != "enabled" && *o.Status != "disabled" {
		return o, fmt.Errorf("status is %q", *o.Status)
	}
	seen := map[string]bool{}
	for _, s := range o.Subscriptions {
		if !slices.Contains(strings.Fields(auth0EventTypes), s.EventType) || seen[s.EventType] {
			return o, fmt.Errorf("subscriptions hold %q", s.EventType)
		}
		seen[s.EventType] = true
	}
	if o.Destination == nil {
		return o, nil
	}
	c := o.Destination.Configuration
	if o.Destination.Type != "webhook" {
		return o, fmt.Errorf("destination.type is %q", o.Destination.Type)
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Scheme != "https" && (!a.Streams.Local || !onThisMachine(endpoint)) {
		return o, fmt.Errorf("webhook_endpoint must be https, got %s (authorization %v)", c.Endpoint, c.Authorization)
	}
	return o, checkMethod(c.Authorization)
}

func onThisMachine(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

func checkMethod(a map[string]string) error {
	needs := map[string][]string{"bearer": {"token"}, "basic": {"username", "password"}, "custom_header": {"header_key", "header_value"}}[a["method"]]
	if needs == nil || len(a) != len(needs)+1 {
		return fmt.Errorf("webhook_authorization is %v", a)
	}
	for _, name := range needs {
		if a[name] == "" {
			return fmt.Errorf("webhook_authorization lacks %s: %v", name, a)
		}
	}
	if key := a["header_key"]; key != "" && !regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`|~-]+$").MatchString(key) {
		return errors.New("webhook_authorization.header_key is no token")
	}
	return nil
}

func (o *streamOrder) apply(s *Auth0Stream) {
	if o.Name != nil {
		s.Name = *o.Name
	}
	if o.Status != nil {
		s.Disabled = *o.Status == "disabled"
	}
	if o.Subscriptions != nil {
		s.Types = nil
		for _, one := range o.Subscriptions {
			s.Types = append(s.Types, one.EventType)
		}
	}
	if o.Destination != nil {
		s.Endpoint, s.Authorization = o.Destination.Configuration.Endpoint, o.Destination.Configuration.Authorization
	}
}

func (a *Auth0) createStream(w http.ResponseWriter, r *http.Request) {
	if !a.allows(w, "create:event_streams") {
		return
	}
	o, err := a.readOrder(r)
	if err == nil && (o.Destination == nil || o.Name == nil || *o.Name == "" || len(o.Subscriptions) == 0) {
		err = errors.New("name, destination and subscriptions are required")
	}
	if err != nil {
		auth0Error(w, http.StatusBadRequest, "Payload validation error: "+err.Error(), "invalid_body")
		return
	}
	s := &a.Streams
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.Streams {
		if one.Name == *o.Name {
			auth0Error(w, http.StatusConflict, "An event stream with that name already exists.", "event_stream_conflict")
			return
		}
	}
	if s.Limit > 0 && len(s.Streams) >= s.Limit {
		auth0Error(w, http.StatusConflict, "You have reached the maximum number of event streams.", "event_stream_limit")
		return
	}
	s.made++
	made := Auth0Stream{ID: fmt.Sprintf("est_%022d", s.made)}
	o.apply(&made)
	s.Streams = append(s.Streams, made)
	writeDocument(w, http.StatusCreated, made.document())
}

func writeDocument(w http.ResponseWriter, status int, document any) {
	text, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	writeJSON(w, status, string(text))
}

// oneStream reads, changes or deletes a stream.
func (a *Auth0) oneStream(w http.ResponseWriter, r *http.Request, stream *Auth0Stream) {
	switch r.Method {
	case http.MethodGet:
		if a.allows(w, "read:event_streams") {
			writeDocument(w, http.StatusOK, stream.document())
		}
	case http.MethodPatch:
		if a.allows(w, "update:event_streams") {
			a.changeStream(w, r, stream)
		}
	case http.MethodDelete:
		if !a.allows(w, "delete:event_streams") {
			return
		}
		a.Streams.mu.Lock()
		defer a.Streams.mu.Unlock()
		a.Streams.Streams = slices.DeleteFunc(slices.Clone(a.Streams.Streams), func(one Auth0Stream) bool { return one.ID == stream.ID })
		w.WriteHeader(http.StatusNoContent)
	default:
		auth0Error(w, http.StatusNotFound, "Not Found", "")
	}
}

func (a *Auth0) changeStream(w http.ResponseWriter, r *http.Request, stream *Auth0Stream) {
	o, err := a.readOrder(r)
	if err == nil && o.Destination != nil && stream.Endpoint == "" {
		err = errors.New("the destination of an EventBridge stream cannot be changed")
	}
	if err != nil {
		auth0Error(w, http.StatusBadRequest, "Payload validation error: "+err.Error(), "invalid_body")
		return
	}
	limit := a.Streams.FailedLimit
	if limit == 0 {
		limit = failedLimit
	}
	if stream.Disabled && o.Status != nil && *o.Status == "enabled" && a.Streams.With(stream.ID, "failed") >= limit {
		auth0Error(w, http.StatusConflict, "The event stream has too many failed deliveries.", "event_stream_failed_deliveries")
		return
	}
	a.Streams.Change(stream.ID, o.apply)
	writeDocument(w, http.StatusOK, a.Streams.Stream(stream.ID).document())
}

// testStream sends the stock user, once.
func (a *Auth0) testStream(w http.ResponseWriter, r *http.Request, stream *Auth0Stream) {
	if !a.allows(w, "update:event_streams") {
		return
	}
	var order struct {
		EventType string          `json:"event_type"`
		Data      json.RawMessage `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&order) != nil || !slices.Contains(strings.Fields(auth0EventTypes), order.EventType) {
		auth0Error(w, http.StatusBadRequest, "Payload validation error: event_type", "invalid_body")
		return
	}
	at := a.Now().UTC()
	a.Streams.mu.Lock()
	a.Streams.tests++
	id := fmt.Sprintf("evt_test%018d", a.Streams.tests)
	a.Streams.mu.Unlock()
	event := map[string]any{
		"specversion": "1.0", "type": order.EventType, "source": "urn:auth0:", "id": id, "time": at.Format("2006-01-02T15:04:05.000Z"),
		"a0tenant": "shop", "a0stream": stream.ID, "a0purpose": "test",
		"data": map[string]any{"object": map[string]any{
			"user_id": "auth0|507f1f77bcf86cd799439020", "email": "john.doe@example.com",
			"created_at": "2025-02-01T12:34:56Z", "updated_at": "2025-02-01T12:34:56Z", "identities": []any{},
		}},
	}
	writeDocument(w, http.StatusAccepted, map[string]any{
		"id": id, "event_stream_id": stream.ID, "event_type": order.EventType, "status": "pending", "attempts": []any{}, "event": event,
	})
	if a.Streams.LoseTests || stream.Disabled {
		return
	}
	a.Streams.mu.Lock()
	to := a.Streams.To
	a.Streams.mu.Unlock()
	ctx := context.WithoutCancel(r.Context())
	a.Streams.posts.Go(func() {
		d := &auth0Delivery{id: id, kind: order.EventType, at: at, event: event}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		status := a.Streams.postOne(ctx, client, stream, to, d)
		a.Streams.mu.Lock()
		defer a.Streams.mu.Unlock()
		a.Streams.posted = append(a.Streams.posted, status)
		if status/100 != 2 {
			if a.Streams.deliveries == nil {
				a.Streams.deliveries = map[string][]*auth0Delivery{}
			}
			d.status, d.failure = "failed", fmt.Sprintf("the endpoint answered %d", status)
			a.Streams.deliveries[stream.ID] = append(a.Streams.deliveries[stream.ID], d)
		}
	})
}

// oneDelivery is a delivery that failed; others are not listed.
func (a *Auth0) oneDelivery(w http.ResponseWriter, stream *Auth0Stream, id string) {
	if !a.allows(w, "read:event_streams", "read:event_deliveries") {
		return
	}
	a.Streams.mu.Lock()
	defer a.Streams.mu.Unlock()
	for _, d := range a.Streams.deliveries[stream.ID] {
		if d.id == id {
			writeDocument(w, http.StatusOK, listedDelivery{d, stream.ID})
			return
		}
	}
	auth0Error(w, http.StatusNotFound, "The event does not exist.", "inexistent_event_delivery")
}
