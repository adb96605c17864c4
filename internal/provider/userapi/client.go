package userapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
)

const (
	maxAttempts  = 4
	maxPauses    = 10               // requested by answers, within one call
	retryFor     = 10 * time.Second // no attempt begins later than this after the first
	firstBackOff = 500 * time.Millisecond
	redirectsMax = 5
	// defaultMaxBody fits a list of 500 users with metadata of up to 64 kB each.
	defaultMaxBody = 32 << 20
)

// Client sends requests to one provider account: it paces and retries them, and explains errors
// without quoting a secret or a body. It is safe for concurrent use.
type Client struct {
	name    string
	deps    Deps
	limiter *limiter
	secrets []string
	http    *http.Client
}

// NewClient creates a client for the provider with that name, as in "Clerk". The first secret
// identifies the account, whose rate limit is shared; no secret appears in an error.
func NewClient(name string, d Deps, r Rate, secrets ...provider.Secret) *Client {
	d = d.WithDefaults()
	c := &Client{name: name, deps: d, limiter: d.Limits.of(secrets[0], r)}
	for _, secret := range secrets {
		c.secrets = append(c.secrets, string(secret))
	}
	c.http = &http.Client{Transport: d.Transport, CheckRedirect: sameHost}
	return c
}

// Request is a request, including its retries.
type Request struct {
	// What describes its purpose, as in "list the users".
	What   string
	Method string // empty means GET
	URL    string
	// Bearer is the token of the Authorization header; empty means none.
	Bearer string
	// Header holds additional headers.
	Header map[string]string
	// Form and JSON are the body; nil means none.
	Form url.Values
	JSON any
	// MaxBody is the maximum length of an answer; 0 means 32 MiB.
	MaxBody int64
	// Read parses the body of a 2xx answer. If it fails, the answer is considered damaged in
	// transit and the request is sent again. Nil accepts any JSON.
	Read func(body []byte) error
}

// Response is a final answer: its status is neither 408 nor 429 nor 5xx, and its body is complete.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// SentAt is when the request was sent.
	SentAt time.Time
}

// OK reports whether the status is 2xx.
func (r *Response) OK() bool { return r.Status/100 == 2 }

// Do sends the request until there is a final answer. The errors are those of a Source; the caller
// checks the status.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	var answer *Response
	err := c.retry(ctx, r, func() error {
		var err error
		answer, err = c.once(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// trouble is a failed attempt that is worth retrying.
type trouble struct {
	detail  string
	pause   time.Duration
	asked   bool // the answer requested that pause
	limited bool // by a 429
	foreign bool // it looks like another server's answer
}

func (t *trouble) Error() string { return t.detail }

// retry makes attempts until one succeeds or another would be pointless.
func (c *Client) retry(ctx context.Context, r Request, attempt func() error) error {
	begun := c.deps.Now()
	backOff := firstBackOff
	for attempts, pauses := 0, 0; ; {
		if err := c.pace(ctx); err != nil {
			return fmt.Errorf("%s of %s: %w", r.What, c.name, err)
		}
		err := attempt()
		failed, again := errors.AsType[*trouble](err)
		if !again {
			return err
		}
		late := c.deps.Now().Sub(begun) >= retryFor
		if failed.asked && failed.limited && pauses < maxPauses && !late {
			// All requests of the account observe the pause, at their next turn.
			pauses++
			c.limiter.block(c.deps.Now(), c.spread(failed.pause))
			continue
		}
		attempts++
		if attempts == maxAttempts || late {
			return c.giveUp(r, failed, attempts)
		}
		pause := backOff/2 + time.Duration(c.deps.Jitter()*float64(backOff))
		if failed.asked {
			pause = c.spread(failed.pause)
		}
		if err := c.pause(ctx, pause); err != nil {
			if _, long := errors.AsType[*RateLimitError](err); long && !failed.asked {
				return c.giveUp(r, failed, attempts)
			}
			return fmt.Errorf("%s of %s: %w", r.What, c.name, err)
		}
		backOff *= 2
	}
}

// spread adds jitter to a requested pause.
func (c *Client) spread(pause time.Duration) time.Duration {
	return pause + time.Duration(c.deps.Jitter()*float64(min(pause/10, time.Second)))
}

func (c *Client) giveUp(r Request, failed *trouble, attempts int) error {
	switch {
	case failed.limited:
		return fmt.Errorf("%s of %s: %w", r.What, c.name, &RateLimitError{After: max(failed.pause, 10*time.Second)})
	case failed.foreign:
		return fault.Newf(fault.ProviderError, "%s of %s: %s", r.What, c.name, failed.detail)
	default:
		return fault.Newf(fault.ProviderUnavailable, "%s of %s: %s (attempts: %d)", r.What, c.name, failed.detail, attempts)
	}
}

// pace waits for the next request's turn.
func (c *Client) pace(ctx context.Context) error {
	return c.pause(ctx, c.limiter.reserve(c.deps.Now(), c.deps.MaxPause))
}

// pause waits in place, or returns how long the wait would have been.
func (c *Client) pause(ctx context.Context, d time.Duration) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	deadline, bounded := ctx.Deadline()
	if d > c.deps.MaxPause || bounded && time.Until(deadline) <= d {
		return &RateLimitError{After: d}
	}
	return c.deps.Sleep(ctx, d)
}

// once makes one attempt and reads the whole answer.
func (c *Client) once(ctx context.Context, r Request) (*Response, error) {
	limit := cmp.Or(r.MaxBody, defaultMaxBody)
	bounded, cancel := context.WithTimeout(ctx, c.deps.Timeout)
	defer cancel()
	answer, sentAt, err := c.send(bounded, ctx, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := readBody(bounded, answer.Body, limit)
	switch {
	case ctx.Err() != nil:
		return nil, c.ended(ctx, r)
	case err != nil:
		return nil, &trouble{detail: "the answer broke off: " + c.reason(err)}
	case int64(len(body)) > limit:
		return nil, fault.Newf(fault.ProviderError, "%s of %s: the answer is longer than %d MiB, which is refused", r.What, c.name, limit>>20)
	}
	response := &Response{Status: answer.StatusCode, Header: answer.Header, Body: body, SentAt: sentAt}
	if response.OK() {
		return response, c.read(r, response)
	}
	return response, nil
}

// readBody reads up to one byte more than the limit. A long body waits for a slot.
func readBody(ctx context.Context, from io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, min(limit, smallBody)+1))
	if err != nil || int64(len(body)) <= smallBody {
		return body, err
	}
	if err := grow(ctx); err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(io.LimitReader(from, limit+1-int64(len(body))))
	return append(body, rest...), err
}

// read passes a 2xx body to the caller.
func (c *Client) read(r Request, answer *Response) error {
	read := r.Read
	if read == nil {
		read = anyJSON
	}
	err := read(answer.Body)
	if err == nil {
		return nil
	}
	if final, ok := fault.As(err); ok && final.Code == fault.ProviderError {
		return final
	}
	detail := "the answer cannot be read: " + err.Error()
	html := strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html")
	if html {
		detail = "the answer is a web page, not JSON: is the address right?"
	}
	return &trouble{detail: detail, foreign: html}
}

func anyJSON(body []byte) error {
	if !json.Valid(body) {
		return errors.New("it is not JSON")
	}
	return nil
}

// send sends one request and checks the answer's header. ctx limits the attempt, caller the whole
// call.
func (c *Client) send(ctx, caller context.Context, r Request) (*http.Response, time.Time, error) {
	request, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, time.Time{}, err
	}
	sentAt := c.deps.Now()
	answer, err := c.http.Do(request)
	if err != nil {
		if caller.Err() != nil {
			return nil, sentAt, c.ended(caller, r)
		}
		if blocked, is := errors.AsType[*egress.BlockedError](err); is {
			return nil, sentAt, fault.Newf(fault.ProviderError, "%s of %s: %s", r.What, c.name, c.Say(blocked.Error()))
		}
		return nil, sentAt, &trouble{detail: c.reason(err)}
	}
	now := c.deps.Now()
	if pause, yes := exhausted(answer.Header, now); yes {
		c.limiter.block(now, pause)
	}
	status := answer.StatusCode
	retry := status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
	if !retry && (status < 300 || status >= 400) {
		return answer, sentAt, nil
	}
	answer.Body.Close() //nolint:gosec // it is not of interest
	if !retry {
		return nil, sentAt, fault.Newf(fault.ProviderError,
			"%s of %s: the server redirects to another address, which is not followed: give the final address", r.What, c.name)
	}
	failed := &trouble{detail: "the server answered " + statusText(status), limited: status == http.StatusTooManyRequests}
	failed.pause, failed.asked = askedPause(answer.Header, now)
	return nil, sentAt, failed
}

func (c *Client) newRequest(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	contentType := ""
	switch {
	case r.Form != nil:
		body, contentType = strings.NewReader(r.Form.Encode()), "application/x-www-form-urlencoded"
	case r.JSON != nil:
		text, err := json.Marshal(r.JSON)
		if err != nil {
			return nil, fmt.Errorf("encode the request to %s of %s: %w", r.What, c.name, err)
		}
		body, contentType = bytes.NewReader(text), "application/json"
	}
	request, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodGet), r.URL, body)
	if err != nil || !isHTTP(request.URL) {
		// The cause would quote the address, which may be signed.
		return nil, fault.Newf(fault.ProviderError, "%s of %s: the address is no https:// address", r.What, c.name)
	}
	request.Header.Set("User-Agent", c.deps.UserAgent)
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	if r.Bearer != "" {
		request.Header.Set("Authorization", "Bearer "+r.Bearer)
	}
	return request, nil
}

func (c *Client) ended(ctx context.Context, r Request) error {
	return fmt.Errorf("%s of %s: %w", r.What, c.name, context.Cause(ctx))
}

// reason describes a network error without the address, which may be signed.
func (c *Client) reason(err error) string {
	if timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s", c.deps.Timeout)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return c.Say(err.Error())
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// Now returns the time of the source's clock.
func (c *Client) Now() time.Time { return c.deps.Now() }

// BackOff waits before retry number attempt, longer each time; the first is number 1.
func (c *Client) BackOff(ctx context.Context, attempt int) error {
	backOff := firstBackOff << min(attempt-1, 3)
	return c.pause(ctx, backOff/2+time.Duration(c.deps.Jitter()*float64(backOff)))
}
