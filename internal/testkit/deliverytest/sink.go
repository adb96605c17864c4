package deliverytest

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
)

// Sink is a destination in memory, and its type.
type Sink struct {
	Can  destination.Capabilities
	Deps destination.Deps // what it was made with
	// Answer says what happens to messages; nil: all are delivered.
	Answer Answer

	mu       sync.Mutex
	arrived  []destination.Message // what was delivered
	attempts int
}

// Name implements destination.Type, as do the next three.
func (s *Sink) Name() string { return "webhook" }

// SecretNames returns none.
func (s *Sink) SecretNames() []string { return nil }

// NewSecret makes none.
func (s *Sink) NewSecret() (_, _ string, ok bool) { return "", "", false }

// SendsSecretsTo returns nothing.
func (s *Sink) SendsSecretsTo(json.RawMessage) []string { return nil }

// Capabilities returns what it can.
func (s *Sink) Capabilities() destination.Capabilities { return s.Can }

// Results are n results: all delivered.
func (s *Sink) Results(n int) []destination.Result { return make([]destination.Result, n) }

// Set sets Answer while workers run.
func (s *Sink) Set(answer Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Answer = answer
}

// New returns the Sink itself, but an error if an option is broken.
func (s *Sink) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	if strings.Contains(string(c.Options), "broken") {
		return nil, fault.New(fault.Invalid, "option broken is not allowed: remove it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Deps = d
	return s, nil
}

// Send keeps the messages that its Answer takes.
func (s *Sink) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	s.mu.Lock()
	answer := s.Answer
	s.attempts += len(messages)
	s.mu.Unlock()
	results := s.Results(len(messages))
	if answer != nil {
		results = answer(ctx, messages)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range results {
		if r.Outcome == destination.Delivered {
			s.arrived = append(s.arrived, messages[i])
		}
	}
	return results
}

// Preview shows one request, with the row as its body, and notes the organizations.
func (s *Sink) Preview(_ context.Context, m destination.Message) ([]destination.Request, error) {
	return []destination.Request{{Method: "POST", URL: "https://Sink.example/" + m.ID, Body: m.Row, Note: strings.Join(m.OrganizationIDs, " ") + string(m.Organization)}}, nil
}

// Got gives the ids of the messages that arrived, each once, in the order of their first arrival.
func (s *Sink) Got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	ids := []string{}
	for _, m := range s.arrived {
		if !seen[m.ID] {
			seen[m.ID] = true
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Messages are those that arrived, in order, each as often as it did.
func (s *Sink) Messages() []destination.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]destination.Message{}, s.arrived...)
}

// Tried counts the messages that were sent.
func (s *Sink) Tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// Users are the users of the messages that arrived, in order.
func (s *Sink) Users() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]string, len(s.arrived))
	for i, m := range s.arrived {
		users[i] = m.RecordID
	}
	return strings.Join(users, " ")
}

// Answer says what happens to messages.
type Answer = func(ctx context.Context, messages []destination.Message) []destination.Result

// Always gives the same result for each message.
func Always(r destination.Result) Answer {
	return func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i := range results {
			results[i] = r
		}
		return results
	}
}

// Failing fails every message, and would be asked again.
func Failing() Answer {
	return Always(destination.Result{Outcome: destination.Retry, Status: 503, Reason: "it is down"})
}

// FailingFor fails the changes of one record.
func FailingFor(recordID string, result destination.Result) Answer {
	return func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i, m := range messages {
			if m.RecordID == recordID {
				results[i] = result
			}
		}
		return results
	}
}
