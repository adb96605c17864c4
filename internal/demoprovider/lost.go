package demoprovider

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// FailedWebhook is a webhook that was lost and has not been sent again, as State keeps it.
type FailedWebhook struct {
	Provider string          `json:"provider"`
	Endpoint string          `json:"endpoint"` // the id of Auth0's event stream or of Clerk's endpoint
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	At       time.Time       `json:"at"`
	Body     json.RawMessage `json:"body"`
}

// lost makes a webhook that was lost a failed delivery of each endpoint of its provider: redeliver finds it there. Clerk has
// endpoints where authsync set one up; Better Auth never has.
func (d *Demo) lost(name, eventType string, at time.Time, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	switch name {
	case provider.Auth0:
		for _, stream := range d.Auth0.Streams.ids() {
			d.Auth0.Streams.AddFailed(stream, body)
		}
	case provider.Clerk:
		for _, endpoint := range d.Clerk.Svix.All() {
			d.Clerk.Svix.AddMessage(endpoint.ID, SvixMessage{
				ID: fmt.Sprintf("msg_%027d", at.UnixMicro()), Type: eventType, Body: string(body), At: at, Status: SvixFailed,
			})
		}
	}
	return d.Changed()
}

// failed returns what was lost and has not been sent again.
func (d *Demo) failed() []FailedWebhook {
	return append(d.Auth0.Streams.failed(), d.Clerk.Svix.failed()...)
}

// restoreFailed takes back what failed returned in an earlier run.
func (d *Demo) restoreFailed(all []FailedWebhook) {
	for _, f := range all {
		switch f.Provider {
		case provider.Auth0:
			d.Auth0.Streams.AddFailed(f.Endpoint, f.Body)
		case provider.Clerk:
			d.Clerk.Svix.AddMessage(f.Endpoint, SvixMessage{ID: f.ID, Type: f.Type, Body: string(f.Body), At: f.At, Status: SvixFailed})
		}
	}
}

// keep stores the state after webhooks were sent again or endpoints set up. If that fails, the next change does it.
func (d *Demo) keep() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.Changed()
}

func (s *Auth0Streams) ids() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.Streams {
		ids = append(ids, s.Streams[i].ID)
	}
	return ids
}

func (s *Auth0Streams) failed() (all []FailedWebhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, deliveries := range s.deliveries {
		for _, d := range deliveries {
			if body, err := json.Marshal(d.event); err == nil {
				all = append(all, FailedWebhook{Provider: provider.Auth0, Endpoint: stream, ID: d.id, Type: d.kind, At: d.at, Body: body})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b FailedWebhook) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	return all
}

func (s *Svix) failed() (all []FailedWebhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if m.Status != SvixDelivered && json.Valid([]byte(m.Body)) {
			all = append(all, FailedWebhook{Provider: provider.Clerk, Endpoint: m.endpoint, ID: m.ID, Type: m.Type, At: m.At, Body: json.RawMessage(m.Body)})
		}
	}
	return all
}

func (s *Svix) endpointsMade() (endpoints []SvixEndpoint, made int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints), s.made
}

// restore takes back what endpointsMade returned in an earlier run.
func (s *Svix) restore(endpoints []SvixEndpoint, made int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints, s.made, s.HasApp = endpoints, made, s.HasApp || made > 0
}
