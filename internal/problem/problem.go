// Package problem writes the error answers of every HTTP handler, as RFC 9457
// application/problem+json, and gives requests the id by which an answer is
// found again in the log. The receiver and the management API use it.
package problem

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Option adds to a problem document or its headers.
type Option func(document map[string]any, h http.Header)

// RetryAfter tells the sender when to try again; less than a second becomes one.
func RetryAfter(d time.Duration) Option {
	return func(_ map[string]any, h http.Header) {
		h.Set("Retry-After", strconv.Itoa(max(1, int(d/time.Second))))
	}
}

// With adds a member of its own to the document, for programs to read.
func With(key string, value any) Option {
	return func(document map[string]any, _ http.Header) { document[key] = value }
}

// Write answers with a problem document. An empty title becomes the phrase of
// the status. The detail is for a person: what was wrong and what to do. The
// instance is the id of the request, as in the log.
//
// The type is left out, which by RFC 9457 means about:blank: the status says
// all that a program needs.
func Write(w http.ResponseWriter, r *http.Request, status int, title, detail string, opts ...Option) {
	if title == "" {
		title = http.StatusText(status)
	}
	document := map[string]any{}
	for _, opt := range opts {
		opt(document, w.Header())
	}
	maps.Copy(document, map[string]any{"title": title, "status": status, "detail": detail})
	if id := RequestID(r.Context()); id != "" {
		document["instance"] = "urn:authsync:request:" + id
	}
	body, err := json.Marshal(document)
	if err != nil { // only a value of With can do that; the rest still tells
		body = []byte(`{"status":` + strconv.Itoa(status) + `}`)
	}
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the sender may be gone; there is nobody to tell
}
