package demoprovider

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong with one request.
type Fault struct {
	// Path is part of the paths that it concerns; empty: all. Method is the method; empty: any.
	Path, Method string
	// Status answers with that status, Header and Body.
	Status int
	Header http.Header
	Body   string
	// Cut answers as always, but breaks off in the middle of the body.
	Cut bool
	// Stall sends half the body and then nothing more.
	Stall bool
}

// Server is what the simulated servers have in common.
type Server struct {
	// Now is the clock, by which rate limits and links count.
	Now func() time.Time
	// Paging is how lists misbehave. Set it before the stand-in is used.
	Paging Paging
	// Records is how the lists of organizations, memberships and invitations do.
	Records RecordPaging
	// Begun is called with each request before it is answered.
	Begun func(r *http.Request)
	// Answered is called with each request after it took effect, before its answer is sent.
	Answered func(r *http.Request)

	settings sync.RWMutex // see Change
	mu       sync.Mutex
	faults   []Fault
	requests map[string]int
	limited  int
}

// Change changes settings while requests may be on their way: Begun, an Auth0's Scope and Secret, the Link of a Svix. What is
// not named here is set before the stand-in is used.
func (s *Server) Change(change func()) {
	s.settings.Lock()
	defer s.settings.Unlock()
	change()
}

// setting is a setting that Change may change.
func setting[T any](s *Server, of *T) T {
	s.settings.RLock()
	defer s.settings.RUnlock()
	return *of
}

// Fail lets the next requests go wrong, one after the other.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Requests is how many requests have come whose path holds the text.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for p, n := range s.requests {
		if strings.Contains(p, path) {
			sum += n
		}
	}
	return sum
}

// Limited is how many requests were beyond the rate limit.
func (s *Server) Limited() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limited
}

func (s *Server) countLimited() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited++
}

// Heal takes back the faults that are still to come.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// begin counts a request and takes the fault that concerns it.
func (s *Server) begin(r *http.Request) (Fault, bool) {
	s.mu.Lock()
	if s.requests == nil {
		s.requests = map[string]int{}
	}
	s.requests[r.URL.Path]++
	var fault Fault
	found := false
	for i, f := range s.faults {
		if strings.Contains(r.URL.Path, f.Path) && (f.Method == "" || f.Method == r.Method) {
			fault, found = f, true
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	if begun := setting(s, &s.Begun); begun != nil {
		begun(r)
	}
	return fault, found
}

// serve answers a request, wrongly if it is to go wrong.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	w.Header().Set("Date", s.Now().Format(http.TimeFormat))
	fault, found := s.begin(r)
	switch {
	case !found && s.Answered != nil:
		whole := &recorder{header: http.Header{}, code: http.StatusOK}
		next(whole, r)
		s.Answered(r)
		maps.Copy(w.Header(), whole.header)
		w.WriteHeader(whole.code)
		w.Write(whole.body.Bytes()) //nolint:errcheck,gosec // the client may have gone
	case !found:
		next(w, r)
	case fault.Status != 0:
		maps.Copy(w.Header(), fault.Header)
		w.WriteHeader(fault.Status)
		io.WriteString(w, fault.Body) //nolint:errcheck,gosec // the client may have gone
	default:
		whole := &recorder{header: http.Header{}, code: http.StatusOK}
		next(whole, r)
		maps.Copy(w.Header(), whole.header)
		w.Header().Set("Content-Length", strconv.Itoa(whole.body.Len()))
		w.WriteHeader(whole.code)
		w.Write(whole.body.Bytes()[:whole.body.Len()/2]) //nolint:errcheck,gosec // the client may have gone
		if fault.Stall {
			http.NewResponseController(w).Flush() //nolint:gosec // the client may have gone
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}

// recorder holds an answer back.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// window allows so many requests in any window of that length.
type window struct {
	mu       sync.Mutex
	requests int
	length   time.Duration
	seen     []time.Time
}

// take notes a request and reports whether it is allowed, else when the next one is.
func (w *window) take(now time.Time) (allowed bool, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.seen) > 0 && !w.seen[0].After(now.Add(-w.length)) {
		w.seen = w.seen[1:]
	}
	if len(w.seen) >= w.requests {
		return false, w.seen[0].Add(w.length).Sub(now)
	}
	w.seen = append(w.seen, now)
	return true, 0
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body) //nolint:errcheck,gosec // the client may have gone
}

// number reads a query parameter; a missing one has the default.
func number(r *http.Request, name string, missing int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s is no number", name)
	}
	return n, nil
}
