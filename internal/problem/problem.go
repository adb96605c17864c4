// Package problem has the error answers of every HTTP handler, RFC 9457
// application/problem+json, as they are written and as they are read, and gives
// requests the id by which an answer is found again in the log.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ContentType is the media type of a problem document.
const ContentType = "application/problem+json"

// Document is a problem document, for who writes one and who reads one.
//
// The type is left out, which by RFC 9457 means about:blank: programs go by the code.
type Document struct {
	// Code names the kind of problem, for programs: snake_case, and stable, other than the detail.
	Code string `json:"code"`
	// Detail is for a person: what was wrong and what to do.
	Detail string `json:"detail"`
	// Errors says which of the things sent are wrong.
	Errors []Field `json:"errors,omitempty"`
	// Instance names the request, as in the log: requestURN and its id.
	Instance string `json:"instance,omitempty"`
	// Status is that of the answer; 0 of a problem that is no answer.
	Status int    `json:"status,omitempty"`
	Title  string `json:"title"`
	// RetryAfter is the header of that name; empty: there is none.
	RetryAfter string `json:"-"`
}

const requestURN = "urn:authsync:request:"

// RequestID is the id of the request that was answered; empty if it is not known.
func (d *Document) RequestID() string {
	if id, is := strings.CutPrefix(d.Instance, requestURN); is {
		return id
	}
	return ""
}

// Option adds to a problem document.
type Option func(*Document)

// RetryAfter tells the sender when to try again; less than a second becomes one.
func RetryAfter(after time.Duration) Option {
	return func(d *Document) { d.RetryAfter = strconv.Itoa(max(1, int(after/time.Second))) }
}

// Code is the document's code. Without it the status chooses one; see codeOf.
func Code(code string) Option { return func(d *Document) { d.Code = code } }

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

// Write answers with a problem document.
func Write(w http.ResponseWriter, r *http.Request, status int, detail string, opts ...Option) {
	d := Document{Status: status, Code: codeOf(status), Detail: detail}
	for _, opt := range opts {
		opt(&d)
	}
	d.Write(w, r)
}

// Write answers with the document. The title becomes the phrase of the status, the instance the id of the request.
func (d Document) Write(w http.ResponseWriter, r *http.Request) {
	d.Title = http.StatusText(d.Status)
	if id := RequestID(r.Context()); id != "" {
		d.Instance = requestURN + id
	}
	body, _ := json.Marshal(d) //nolint:errchkjson // texts and a number
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	if d.RetryAfter != "" {
		w.Header().Set("Retry-After", d.RetryAfter)
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(append(body, '\n')) // the sender may be gone; there is nobody to tell
}

// Read reads the document of an answer. Where there is none, as in one of a proxy, the status has to be enough.
func Read(status int, h http.Header, body []byte) (d Document) {
	if strings.HasPrefix(h.Get("Content-Type"), ContentType) {
		_ = json.Unmarshal(body, &d)
	}
	d.Status, d.RetryAfter = status, h.Get("Retry-After")
	if d.Title == "" {
		d.Title = http.StatusText(status)
	}
	return d
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
