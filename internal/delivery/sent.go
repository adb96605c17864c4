package delivery

import (
	"net/http"

	"github.com/authsync/authsync/internal/destination"
)

// maxKeptResponse is how many characters of a response an attempt keeps, as authsync.add_attempt does.
const maxKeptResponse = 1000

// Sent are the requests of an attempt, as they are stored with it in deliveries.attempt_log. No request and nil requests are
// two things: none was made, and nobody knows.
type Sent struct {
	Requests []SentRequest `json:"requests"`
	// Bodies are theirs. They are apart so that an attempt that repeats those of the attempt before it can have them
	// alone; see authsync.add_attempt.
	Bodies []string `json:"bodies,omitempty"`
	// Omitted is the number of earlier requests that are not kept.
	Omitted int `json:"requests_omitted,omitempty"`
}

// SentRequest is a request as it was sent, secrets masked; see destination.Exchange.
type SentRequest struct {
	Method    string      `json:"method"`
	URL       string      `json:"url"`
	Header    http.Header `json:"headers"`
	BodyBytes int         `json:"body_bytes"`
	IsBodyCut bool        `json:"body_cut,omitempty"`
	// IsUnsent means that there was no connection: nothing of it has left.
	IsUnsent bool `json:"unsent,omitempty"`
	// Response is nil if it is that of the attempt.
	Status        int     `json:"status,omitempty"`
	Response      *string `json:"response,omitempty"`
	IsResponseCut bool    `json:"response_cut,omitempty"`
	Note          string  `json:"note,omitempty"`
}

// SentOf returns what is stored of the requests of a result.
func SentOf(r *destination.Result) Sent {
	s := Sent{Requests: make([]SentRequest, len(r.Exchanges)), Bodies: make([]string, len(r.Exchanges)), Omitted: r.Omitted}
	for i := range r.Exchanges {
		e := &r.Exchanges[i]
		s.Bodies[i] = e.Body
		one := SentRequest{
			Method: e.Method, URL: e.URL, Header: e.Header, BodyBytes: e.BodyBytes, IsBodyCut: e.BodyCut, IsUnsent: !e.Sent,
			Status: e.Status, Note: e.Note,
		}
		if e.Response != r.Response {
			response, isCut := beginning(e.Response, maxKeptResponse)
			one.Response, one.IsResponseCut = &response, isCut
		}
		s.Requests[i] = one
	}
	return s
}

// beginning returns the first characters of a text.
func beginning(text string, most int) (start string, isCut bool) {
	n := 0
	for at := range text {
		if n == most {
			return text[:at], true
		}
		n++
	}
	return text, false
}
