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

// Code names the kind of problem, for programs: snake_case, and stable, other than the
// detail. Without it the status chooses one; see codeOf.
func Code(code string) Option { return With("code", code) }

// Field is what is wrong with one thing that was sent.
type Field struct {
	// In is where it was sent: body, query or header.
	In string `json:"in"`
	// Field is its name, with dots into objects, such as credentials.secret_key.
	Field string `json:"field"`
	// Code is unknown, missing, repeated, wrong_type or invalid.
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// The codes of a Field.
const (
	Unknown   = "unknown"    // there is no field of this name
	Missing   = "missing"    // it must be given
	Repeated  = "repeated"   // it may be given once
	WrongType = "wrong_type" // such as a number in place of a string
	Invalid   = "invalid"    // of the right type, but not a value that it takes
)

// Errors says which of the things sent are wrong.
func Errors(fields ...Field) Option {
	return func(document map[string]any, _ http.Header) {
		if len(fields) > 0 {
			document["errors"] = fields
		}
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
// The type is left out, which by RFC 9457 means about:blank: programs go by the code.
func Write(w http.ResponseWriter, r *http.Request, status int, title, detail string, opts ...Option) {
	if title == "" {
		title = http.StatusText(status)
	}
	document := map[string]any{"code": codeOf(status)}
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

// codeOf is the code of a status where nobody says more.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "malformed_request"
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	case http.StatusConflict:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "body_too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusUnprocessableEntity:
		return "invalid_request"
	case http.StatusTooManyRequests:
		return "too_many_requests"
	case http.StatusBadGateway:
		return "provider_error"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case http.StatusInsufficientStorage:
		return "insufficient_storage"
	default:
		return "internal_error"
	}
}
