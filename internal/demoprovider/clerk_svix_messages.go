package demoprovider

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// The status of a message for an endpoint, as Svix numbers them, and one that it does not number.
const (
	SvixDelivered = 0
	SvixRetrying  = 1
	SvixFailed    = 2  // all attempts have failed
	SvixMissed    = -1 // never tried, as while the endpoint was disabled
)

// SvixMessage is a message of an application, for one endpoint.
type SvixMessage struct {
	ID, Type, Body string
	At             time.Time
	Status         int

	endpoint string
}

// svixKept is how far back messages are sent again.
const svixKept = 14 * 24 * time.Hour

// AddMessage adds a message for an endpoint.
func (s *Svix) AddMessage(endpoint string, m SvixMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.endpoint = endpoint
	s.messages = append(s.messages, &m)
}

// Messages is a copy of the messages there are.
func (s *Svix) Messages() []SvixMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]SvixMessage, len(s.messages))
	for i, m := range s.messages {
		all[i] = *m
	}
	return all
}

// listMessages lists the messages of an endpoint that were tried. The iterator is a position.
func (s *Svix) listMessages(w http.ResponseWriter, r *http.Request, endpoint string) {
	query := r.URL.Query()
	after, afterErr := time.Parse(time.RFC3339, query.Get("after"))
	before, beforeErr := time.Parse(time.RFC3339, query.Get("before"))
	status, statusErr := strconv.Atoi(query.Get("status"))
	limit, err := strconv.Atoi(query.Get("limit"))
	switch {
	case query.Has("after") && afterErr != nil, query.Has("before") && beforeErr != nil, query.Has("status") && statusErr != nil,
		err != nil || limit < 1 || limit > 250:
		svixError(w, http.StatusUnprocessableEntity, "validation", "query")
		return
	}
	var all []any
	for _, m := range s.messages {
		if m.endpoint != endpoint || m.Status == SvixMissed || query.Has("status") && m.Status != status ||
			query.Has("after") && m.At.Before(after) || query.Has("before") && !m.At.Before(before) {
			continue
		}
		document := map[string]any{"id": m.ID, "eventType": m.Type, "status": m.Status, "timestamp": m.At.UTC().Format(time.RFC3339Nano), "payload": map[string]any{}}
		if query.Get("with_content") != "false" {
			document["payload"] = json.RawMessage(m.Body)
		}
		all = append(all, document)
	}
	from, _ := strconv.Atoi(query.Get("iterator")) // the first page has none
	data := append([]any{}, all[min(from, len(all)):min(from+svixPage, len(all))]...)
	writeDocument(w, http.StatusOK, map[string]any{"data": data, "iterator": strconv.Itoa(from + svixPage), "done": from+svixPage >= len(all)})
}

// again sends the messages of a status since a time again, in the background.
func (s *Svix) again(w http.ResponseWriter, r *http.Request, to SvixEndpoint, status int) {
	var in struct {
		Since time.Time  `json:"since"`
		Until *time.Time `json:"until"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in) != nil || in.Since.Before(s.now().Add(-svixKept)) {
		svixError(w, http.StatusUnprocessableEntity, "validation", "since")
		return
	}
	writeDocument(w, http.StatusAccepted, map[string]string{"id": "qtask_1", "status": "running", "task": "endpoint.recover"})
	if to.Disabled {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	for _, m := range s.messages {
		if m.endpoint != to.ID || m.Status != status || m.At.Before(in.Since) || in.Until != nil && !m.At.Before(*in.Until) {
			continue
		}
		m.Status = SvixRetrying
		s.posts.Go(func() {
			answer := s.post(ctx, to, m.ID, m.Body)
			s.mu.Lock()
			if m.Status = SvixFailed; answer/100 == 2 {
				m.Status = SvixDelivered
			}
			s.mu.Unlock()
			if s.settled != nil {
				s.settled()
			}
		})
	}
}

// patch changes what is given of an endpoint.
func (s *Svix) patch(w http.ResponseWriter, r *http.Request, of *SvixEndpoint) {
	var in struct {
		Disabled *bool `json:"disabled"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in) != nil || in.Disabled == nil {
		svixError(w, http.StatusUnprocessableEntity, "validation", "body")
		return
	}
	of.Disabled = *in.Disabled
	writeDocument(w, http.StatusOK, of.document())
}
