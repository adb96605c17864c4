// Package keyset fetches the JSON Web Key Sets (RFC 7517) that providers publish, and keeps them. Their addresses are chosen by
// tenants, and what a receiver waits for holds up a request: so everything is bounded.
//
//   - One request at a time per address, up to maxOfProject for a project and maxFetches for all. Whoever finds no room gets an
//     error at once, so that addresses that hang cost their own project its keys, and nobody else.
//   - A request takes fetchTime at most, reads maxBytes and follows no redirect. The client is that of package egress, so that
//     the address can lead nowhere but to where the operator allows.
//   - A set is good for freshTime. An id that it lacks makes it be fetched again, but not more often than once in refetchGap,
//     however many requests come with ids that nobody has.
//   - After a failure the address is left alone, from failurePause on for twice as long each time. A set that was fetched
//     before stays in use for staleTime.
package keyset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/provider"
)

const (
	fetchTime    = 3 * time.Second
	freshTime    = time.Hour
	staleTime    = 24 * time.Hour
	refetchGap   = time.Minute
	failurePause = 10 * time.Second
	maxPause     = 5 * time.Minute
	maxBytes     = 256 << 10
	maxFetches   = 64
	maxOfProject = 4
	maxSets      = 10_000 // kept; the longest unused is dropped
)

// Config configures a Cache.
type Config struct {
	// Client sends the requests: that of an egress.Guard. It follows no redirects.
	Client *http.Client
	Log    *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Cache keeps key sets. It is safe for concurrent use.
type Cache struct {
	config Config

	mu       sync.Mutex
	sets     map[string]*set
	fetching int               // requests in progress
	fetches  map[uuid.UUID]int // likewise, by project
}

// set is what is known of an address.
type set struct {
	keys      []provider.PublicKey
	fetchedAt time.Time // zero: never
	triedAt   time.Time // the last attempt
	pause     time.Duration
	usedAt    time.Time
	waiting   chan struct{} // closed when the current attempt ends; nil if there is none
}

// New returns an empty Cache.
func New(c Config) *Cache {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Cache{config: c, sets: map[string]*set{}, fetches: map[uuid.UUID]int{}}
}

// Of returns the keys for a project, which has a share of the requests. What is fetched is shared by all.
func (c *Cache) Of(projectID uuid.UUID) provider.PublicKeys { return share{c, projectID} }

type share struct {
	*Cache

	projectID uuid.UUID
}

// Find implements provider.PublicKeys. That a set has no key of an id is certain only of a set that was fetched for the
// question: while the address is left alone, the error says that nothing is known, so that a sender whose key is new tries again.
func (c share) Find(keySetURL, id string) ([]provider.PublicKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.set(keySetURL)
	now := c.config.Now()
	if found := s.find(id); len(found) > 0 && now.Sub(s.fetchedAt) < freshTime {
		return found, nil
	}
	asked := s.mayFetch(now) && c.refresh(keySetURL, s)
	if found := s.find(id); len(found) > 0 && now.Sub(s.fetchedAt) < staleTime || asked {
		return found, nil
	}
	return nil, fmt.Errorf("%w: those of %s", provider.ErrKeysUnavailable, hostOf(keySetURL))
}

// find returns the keys of an id, all if it is empty.
func (s *set) find(id string) (found []provider.PublicKey) {
	for _, key := range s.keys {
		if id == "" || key.ID == id {
			found = append(found, key)
		}
	}
	return found
}

// mayFetch reports whether the address may be asked, or is being asked, now.
func (s *set) mayFetch(now time.Time) bool {
	gap := refetchGap
	if s.pause > 0 {
		gap = s.pause
	}
	return s.waiting != nil || s.triedAt.IsZero() || now.Sub(s.triedAt) >= gap
}

// set returns what is known of an address. The caller holds the lock.
func (c *Cache) set(keySetURL string) *set {
	s := c.sets[keySetURL]
	if s == nil {
		if len(c.sets) >= maxSets {
			c.dropOldest()
		}
		s = &set{}
		c.sets[keySetURL] = s
	}
	s.usedAt = c.config.Now()
	return s
}

func (c *Cache) dropOldest() {
	oldest := ""
	for url, s := range c.sets {
		if oldest == "" || s.usedAt.Before(c.sets[oldest].usedAt) {
			oldest = url
		}
	}
	delete(c.sets, oldest)
}

// refresh asks the address, or waits for who is asking it, and reports whether the set has been fetched. The caller holds the
// lock, which is released meanwhile. If there is no room to ask, it has not.
func (c share) refresh(keySetURL string, s *set) (fetched bool) {
	if waiting := s.waiting; waiting != nil {
		c.mu.Unlock()
		<-waiting // the fetch is limited in time
		c.mu.Lock()
		return s.pause == 0
	}
	if c.fetching >= maxFetches || c.fetches[c.projectID] >= maxOfProject {
		return false
	}
	c.fetching++
	c.fetches[c.projectID]++
	done := make(chan struct{})
	s.waiting, s.triedAt = done, c.config.Now()
	c.mu.Unlock()
	keys, err := c.fetch(keySetURL)
	c.mu.Lock()
	c.fetching--
	if c.fetches[c.projectID]--; c.fetches[c.projectID] == 0 {
		delete(c.fetches, c.projectID)
	}
	s.waiting = nil
	close(done)
	if err != nil {
		s.pause = min(max(2*s.pause, failurePause), maxPause)
		c.config.Log.Warn("key_set_not_fetched", slog.String("host", hostOf(keySetURL)), slog.Any("error", err), slog.Duration("pause", s.pause))
		return false
	}
	s.keys, s.fetchedAt, s.pause = keys, c.config.Now(), 0
	return true
}

func (c *Cache) fetch(keySetURL string) (keys []provider.PublicKey, err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), fetchTime, errors.New("the key set was not sent in time"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, keySetURL, nil)
	if err != nil {
		return nil, errors.New("the address of the key set cannot be read")
	}
	request.Header.Set("Accept", "application/json")
	response, err := c.config.Client.Do(request)
	if whole := new(url.Error); errors.As(err, &whole) { // it has the address, which may hold a secret
		err = whole.Err
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the key set: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has status %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the key set: %w", err)
	case len(text) > maxBytes:
		return nil, fmt.Errorf("the key set is longer than %d bytes", maxBytes)
	}
	return Parse(text)
}
