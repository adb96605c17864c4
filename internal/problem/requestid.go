package problem

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
)

// RequestIDHeader carries the id of a request, both ways.
const RequestIDHeader = "X-Request-Id"

const maxRequestID = 64

type requestIDKey struct{}

// WithRequestID gives each request an id: the one it brings, where that is
// short and plain, else a new one. The answer carries it in X-Request-Id. A
// request that has an id already keeps it, so handlers may be nested.
func WithRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := RequestID(r.Context())
		if id == "" {
			id = r.Header.Get(RequestIDHeader)
			if !plain(id) {
				id = rand.Text()
			}
			r = r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id))
		}
		w.Header().Set(RequestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

// RequestID is the id that WithRequestID gave, empty where it was not asked.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// plain keeps what a stranger sends from reaching the log with line breaks or at length.
func plain(id string) bool {
	return id != "" && len(id) <= maxRequestID && strings.IndexFunc(id, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.'
	}) < 0
}
