package measure

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The paths of the sink.
const (
	countPath = "/count/" // counts and answers at once; a name follows
	timePath  = "/time"   // the same, and notes when the news of each user came first
	busyPath  = "/busy"   // counts and answers at once
	hangPath  = "/hang"   // between hold and release it does not answer, else by 503
)

// sink is what is at the other end of destinations.
type sink struct {
	url  string
	hung atomic.Int64 // requests that were taken and not answered

	mu      sync.Mutex
	counts  map[string]*atomic.Int64 // by path
	arrived map[int64]time.Time      // by the number of the user
	letGo   chan struct{}            // open: requests hang
}

func newSink(ctx context.Context) (*sink, func(), error) {
	s := &sink{counts: make(map[string]*atomic.Int64), arrived: make(map[int64]time.Time)}
	address, stop, err := listen(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	s.url = "http://" + address
	return s, stop, nil
}

// count is that of the requests to a path.
func (s *sink) count(path string) *atomic.Int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts[path] == nil {
		s.counts[path] = new(atomic.Int64)
	}
	return s.counts[path]
}

// ServeHTTP takes what is delivered.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case r.URL.Path == hangPath:
		s.hang(r)
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == timePath:
		if user, ok := userIn(body); ok {
			s.mu.Lock()
			if _, twice := s.arrived[user]; !twice {
				s.arrived[user] = at
			}
			s.mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Path == busyPath, strings.HasPrefix(r.URL.Path, countPath):
		s.count(r.URL.Path).Add(1)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *sink) hang(r *http.Request) {
	s.mu.Lock()
	letGo := s.letGo
	s.mu.Unlock()
	s.hung.Add(1)
	select {
	case <-letGo:
	case <-r.Context().Done(): // the sender has had enough
	}
}

// hold makes the requests hang that come from now on.
func (s *sink) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letGo = make(chan struct{})
}

// release ends the requests that hang, and lets none hang that comes behind them.
func (s *sink) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.letGo)
}

// userIn finds the number of the user that a message is about.
func userIn(body []byte) (int64, bool) {
	prefix := []byte(userID[:len(userID)-digits])
	at := bytes.Index(body, prefix)
	if at < 0 || len(body) < at+len(userID) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(body[at+len(prefix):at+len(userID)]), 10, 64)
	return n, err == nil
}

// since gives how long after their answers the news of users came.
func (s *sink) since(answered map[int64]time.Time) (l load, missing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, from := range answered {
		at, ok := s.arrived[user]
		if !ok {
			missing++
			continue
		}
		l.latencies = append(l.latencies, max(at.Sub(from), 0))
	}
	l.sort()
	return l, missing
}
