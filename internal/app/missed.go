package app

import (
	"net/http"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/ingest/receiver"
)

// observeMissed reports webhooks with a wrong path, which reach no receiver, to the observer, if
// there is one.
func observeMissed(observe func(receiver.Message), next http.Handler) http.Handler {
	if observe == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !receiver.Misses(r) {
			next.ServeHTTP(w, r)
			return
		}
		answered := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answered, r)
		if answered.status >= http.StatusBadRequest {
			observe(receiver.Missed(r, time.Now(), answered.status))
		}
	})
}

// statusWriter records the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// missedEvery is the minimum interval between two shown requests for unknown projects: anyone can
// send any number.
const missedEvery = time.Second

// missed lets through one request per missedEvery, and keeps the newest of the others.
type missed struct {
	now func() time.Time

	mu     sync.Mutex
	last   time.Time // when one was last shown
	newest receiver.Message
	more   int64 // how many were not shown
}

// take reports whether to show a request now.
func (m *missed) take(r receiver.Message) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := m.now(); m.more == 0 && now.Sub(m.last) >= missedEvery {
		m.last = now
		return true
	}
	m.newest = r
	m.more++
	return false
}

// held returns the newest request that was not shown, once it is due, with the number of others.
func (m *missed) held() (Message, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.more == 0 || now.Sub(m.last) < missedEvery {
		return Message{}, false
	}
	shown := Message{Message: m.newest, Others: m.more - 1}
	m.last, m.more = now, 0
	return shown, true
}
