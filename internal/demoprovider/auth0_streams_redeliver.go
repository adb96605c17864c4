package demoprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

func (a *Auth0) redeliver(w http.ResponseWriter, r *http.Request, stream *Auth0Stream) {
	if !a.allows(w, "update:event_deliveries") {
		return
	}
	var order struct {
		From     string   `json:"date_from"`
		To       string   `json:"date_to"`
		Statuses []string `json:"statuses"`
		Types    []string `json:"event_types"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&order)
	if err == nil && slices.ContainsFunc(order.Statuses, func(status string) bool { return status != "failed" }) {
		err = fmt.Errorf("statuses are %v", order.Statuses)
	}
	a.Streams.mu.Lock()
	defer a.Streams.mu.Unlock()
	var found []*auth0Delivery
	if err == nil {
		found, err = a.Streams.between(stream.ID, order.From, order.To)
	}
	if err != nil {
		auth0Error(w, http.StatusBadRequest, "Payload validation error: "+err.Error(), "invalid_body")
		return
	}
	if a.Streams.Busy {
		auth0Error(w, http.StatusConflict, "One or more events is not in a state that allows redelivery.", "event_delivery_conflict")
		return
	}
	var asked []*auth0Delivery
	for _, d := range found {
		if d.status == "failed" && (len(order.Types) == 0 || slices.Contains(order.Types, d.kind)) {
			d.status = "pending"
			asked = append(asked, d)
		}
	}
	writeJSON(w, http.StatusAccepted, "{}")
	if to := a.Streams.To; to != "" {
		ctx := context.WithoutCancel(r.Context())
		a.Streams.posts.Go(func() { a.Streams.post(ctx, stream, to, asked) })
	}
}

// post posts events one after the other. One that is taken is in no list any more.
func (s *Auth0Streams) post(ctx context.Context, stream *Auth0Stream, to string, deliveries []*auth0Delivery) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for _, d := range deliveries {
		status := s.postOne(ctx, client, stream, to, d)
		s.mu.Lock()
		s.posted = append(s.posted, status)
		d.status = "failed"
		if status/100 == 2 {
			s.deliveries[stream.ID] = slices.DeleteFunc(s.deliveries[stream.ID], func(one *auth0Delivery) bool { return one == d })
		}
		s.mu.Unlock()
	}
	if s.settled != nil {
		s.settled()
	}
}

// postOne returns the status of the answer, 0 if there is none.
func (s *Auth0Streams) postOne(ctx context.Context, client *http.Client, stream *Auth0Stream, to string, d *auth0Delivery) int {
	body, err := json.Marshal(d.event)
	if err != nil {
		return 0
	}
	endpoint, err := url.Parse(stream.Endpoint)
	if err != nil {
		return 0
	}
	if to == "" {
		to = endpoint.Scheme + "://" + endpoint.Host
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to+endpoint.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range stream.headers() {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close() //nolint:gosec // it is empty
	return answer.StatusCode
}
