package crashtest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

const (
	senders = 6
	users   = 40 // few, so that many events meet in a row
)

// load sends events of all providers without pause and remembers which of them
// were acknowledged. Like a provider it repeats what was not.
type load struct {
	server      *server
	projectID   string
	credentials map[string]provider.Credentials
	epoch       time.Time

	next    atomic.Int64
	refused atomic.Int64 // answers other than 204, which a sender repeats

	mu    sync.Mutex
	acked map[string]bool // by event id
	bad   []string        // answers that finally give up an event
}

func newLoad(s *server, projectID string, credentials map[string]provider.Credentials) *load {
	return &load{
		server: s, projectID: projectID, credentials: credentials,
		epoch: time.Now().Add(-24 * time.Hour), acked: map[string]bool{},
	}
}

// run sends until ctx ends.
func (l *load) run(ctx context.Context) {
	var group sync.WaitGroup
	for range senders {
		group.Go(func() {
			for ctx.Err() == nil {
				l.sendUntilTaken(ctx, l.next.Add(1))
			}
		})
	}
	group.Wait()
}

// membershipUpdated is about the user's membership of one organization.
const membershipUpdated = "organizationMembership.updated"

// event makes the n-th event: a user, and a time and an e-mail address that no
// other event has, so that each event tells whether its effect is there. Every other one
// about a user of Clerk is about a membership, whose role tells it.
func (l *load) event(n int64) (kind string, s provider.Sample) {
	names := provider.Names()
	user := n % users
	s = provider.Sample{
		Type: "user.updated", ID: fmt.Sprintf("evt_%08d", n), UserID: fmt.Sprintf("user_%03d", user),
		At:  l.epoch.Add(time.Duration(n) * time.Second / 100).Truncate(time.Millisecond),
		Set: map[string]any{"email": fmt.Sprintf("e%d@example.com", n)},
	}
	kind = names[user%int64(len(names))]
	if kind == provider.Clerk && n/users%2 == 1 {
		s.Type, s.OrganizationID, s.Set = membershipUpdated, fmt.Sprintf("org_%d", user%3), map[string]any{"role": fmt.Sprintf("org:r%d", n)}
	}
	return kind, s
}

func (l *load) sendUntilTaken(ctx context.Context, n int64) {
	name, sample := l.event(n)
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		err := l.send(ctx, name, sample)
		if err == nil {
			l.mu.Lock()
			l.acked[sample.ID] = true
			l.mu.Unlock()
			return
		}
		if status := client.Status(err); status != 0 && status != http.StatusServiceUnavailable {
			l.mu.Lock()
			l.bad = append(l.bad, err.Error())
			l.mu.Unlock()
			return
		}
		l.refused.Add(1)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

func (l *load) send(ctx context.Context, name string, sample provider.Sample) error {
	kind, err := registry.Lookup(name)
	if err != nil {
		return err
	}
	header, body, err := kind.Sign(sample, l.credentials[name], provider.Options{}, time.Now())
	if err != nil {
		return err
	}
	url, _ := l.server.url.Load().(string)
	c := client.New(url, "") // a connection each, as providers do
	defer c.Close()
	return c.Deliver(ctx, name, l.projectID, header, body)
}
