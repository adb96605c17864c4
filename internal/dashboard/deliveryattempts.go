package dashboard

import (
	"maps"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/api/wire"
)

// shownAttempt is an attempt as it is shown.
type shownAttempt struct {
	wire.DeliveryAttempt

	Sent []sentRequest
}

// IsKnown says that it is known which requests it made.
func (a shownAttempt) IsKnown() bool { return a.Requests != nil }

// sentRequest is a request of an attempt as it was sent.
type sentRequest struct {
	shownRequest

	Of     wire.SentRequest
	Answer string
}

func shownAttempts(log []wire.DeliveryAttempt) (shown []shownAttempt) {
	for _, a := range log {
		one := shownAttempt{DeliveryAttempt: a}
		for _, r := range a.Requests {
			sent := sentRequest{Of: r, Answer: readable(r.Response), shownRequest: shownRequest{
				Request:     wire.Request{Method: r.Method, URL: r.URL, Headers: r.Headers, Note: r.Note},
				HeaderNames: slices.Sorted(maps.Keys(r.Headers)),
				Body:        excerpt{Text: readable(r.Body)},
			}}
			one.Sent = append(one.Sent, sent)
		}
		shown = append(shown, one)
	}
	return shown
}

// readable indents JSON that is whole; the API has the bytes as they were sent.
func readable(body string) string {
	if indented, ok := pretty(strings.TrimSpace(body)); ok {
		return indented
	}
	return body
}
