package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
)

// maxAnswer is well above the response to a batch of 100 objects.
const maxAnswer = 16 << 20

// request is one call of HubSpot's API.
type request struct {
	method, path string
	query        url.Values
	body         any // nil: none
}

func (r request) url(base string) string {
	out := base + r.path
	if len(r.query) > 0 {
		out += "?" + r.query.Encode()
	}
	return out
}

// answer is a response from HubSpot: a success, or a refusal about the content of the request.
type answer struct {
	status int
	body   []byte
}

func (a *answer) ok() bool { return a.status/100 == 2 }

// do sends a request. The last result, if not nil, applies to all messages in the request: there was no
// response, or one unrelated to their content. The exchange is nil if no request was made.
func (h *hubspot) do(ctx context.Context, r request) (*answer, *destination.Exchange, *destination.Result) {
	if trouble := h.turn(ctx); trouble != nil {
		return nil, nil, trouble
	}
	slow, cancel := context.WithTimeoutCause(ctx, h.attemptTime, fmt.Errorf("there was none within %s", h.attemptTime))
	defer cancel()
	sent, err := h.encode(slow, r)
	if err != nil {
		return nil, nil, &destination.Result{Outcome: destination.GiveUp, Reason: "the request cannot be made: " + h.clean(err.Error())}
	}
	response, exchange, err := httpsend.Exchange(h.client, sent, h.mask)
	if err != nil {
		result := httpsend.Unanswered(slow, h.mask, err)
		return nil, &exchange, &result
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		result := httpsend.Unanswered(slow, h.mask, err)
		result.Status = response.StatusCode
		return nil, &exchange, &result
	}
	h.observeLimits(ctx, response.Header)
	a := &answer{status: response.StatusCode, body: body}
	exchange.Response = h.response(body)
	if trouble := h.general(ctx, r, a, response.Header); trouble != nil {
		return nil, &exchange, trouble
	}
	return a, &exchange, nil
}

func (h *hubspot) encode(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	out, err := http.NewRequestWithContext(ctx, r.method, r.url(h.BaseURL), body)
	if err != nil {
		return nil, err
	}
	out.Header = header("Bearer "+h.token, r.body != nil)
	return out, nil
}

func header(authorization string, body bool) http.Header {
	out := http.Header{"Authorization": {authorization}, "Accept": {"application/json"}, "User-Agent": {httpsend.UserAgent}}
	if body {
		out.Set("Content-Type", "application/json")
	}
	return out
}

// general handles responses unrelated to the messages in the request.
func (h *hubspot) general(ctx context.Context, r request, a *answer, header http.Header) *destination.Result {
	switch {
	case a.status == http.StatusTooManyRequests:
		return h.limited(ctx, a, header)
	case a.status == http.StatusUnauthorized:
		return h.result(a, destination.Pause,
			"HubSpot refuses the access token: %s. Make a new one (Settings → Integrations → Private Apps → the app → Auth) and store it as secret %s",
			h.said(a), TokenSecret)
	case a.status == http.StatusForbidden:
		return h.result(a, destination.Pause,
			"the access token lacks a right: HubSpot asks for %s. Add it to the private app (Settings → Integrations → Private Apps → the app → Scopes), then resume the destination",
			scopes(r, a))
	case a.status >= 500, a.status/100 == 3,
		a.status == http.StatusRequestTimeout, a.status == http.StatusLocked, a.status == http.StatusTooEarly:
		return h.result(a, destination.Retry, "HubSpot is in trouble: it answered %d %s", a.status, http.StatusText(a.status))
	case a.ok() && len(a.body) > 0 && !json.Valid(a.body), !a.ok() && readRefusal(a.body).Message == "":
		// A 404 from elsewhere, such as a proxy, does not mean that an object is gone.
		return h.result(a, destination.Retry, "the answer %d is not as HubSpot's are; it broke off, or something else answered", a.status)
	}
	return nil
}

// result returns a result about a response.
func (h *hubspot) result(a *answer, outcome destination.Outcome, format string, args ...any) *destination.Result {
	return &destination.Result{
		Outcome: outcome, Status: a.status, Response: h.response(a.body), Reason: fmt.Sprintf(format, args...),
	}
}

// response returns the start of a body, with the token masked.
func (h *hubspot) response(body []byte) string {
	return h.mask.Response(body[:min(len(body), h.mask.ReadAhead())])
}

// clean prepares HubSpot's own message for a reason: one line, limited length, token masked.
func (h *hubspot) clean(text string) string {
	const most = 300
	words := []rune(strings.Join(strings.Fields(h.response([]byte(text))), " "))
	if len(words) > most {
		words = append(words[:most], '…')
	}
	return string(words)
}

// turn waits for the account's rate limit.
func (h *hubspot) turn(ctx context.Context) *destination.Result {
	if h.limiter == nil {
		return nil
	}
	if err := h.limiter.Take(ctx, class); err != nil {
		result := httpsend.NotNow(ctx, err)
		return &result
	}
	return nil
}
