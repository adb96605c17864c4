// Package httpsend sends a request and interprets the response, for all destination types over plain HTTP.
package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/retryafter"
	"github.com/authsync/authsync/internal/tracing"
)

const (
	// AttemptTime limits an attempt, from connecting to the end of the response.
	AttemptTime = 15 * time.Second
	// MaxBody is the maximum size of a request body.
	MaxBody = 1 << 20
	// pauseUnsaid is the pause after a 429 without a Retry-After.
	pauseUnsaid = 30 * time.Second
	// pauseLimiter is the pause if the rate limits cannot be read.
	pauseLimiter = 5 * time.Second
	// UserAgent names the sender.
	UserAgent = "authsync (+https://github.com/authsync/authsync)"
	// Class is the rate limit class of all requests of these types; see destination.Limiter.
	Class = "requests"
)

// Sender sends requests for one destination. It is safe for concurrent use.
type Sender struct {
	client  *http.Client
	deps    destination.Deps
	limited bool
	timeout time.Duration
}

// NewSender returns a Sender. limited enables the rate limits; a timeout of 0 means AttemptTime.
func NewSender(d destination.Deps, limited bool, timeout time.Duration) *Sender {
	if timeout == 0 {
		timeout = AttemptTime
	}
	return &Sender{client: Client(d), deps: d, limited: limited && d.Limiter != nil, timeout: timeout}
}

// Client returns the HTTP client of a destination. If the dependencies have none, the destination can only be
// checked and previewed.
func Client(d destination.Deps) *http.Client {
	client := &http.Client{Transport: unconnected{}}
	if d.Client != nil {
		own := *d.Client
		client = &own
	}
	// A redirect would send the request, with its secrets, to an unconfigured address.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// unconnected is the transport of a destination that can only be checked or previewed.
type unconnected struct{}

func (unconnected) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this process sends nothing")
}

// Answer is a response.
type Answer struct {
	Status   int
	Header   http.Header
	Response string // see destination.Result
	Exchange destination.Exchange
}

// Do waits for the rate limits, sends the request made by build, and reads the response. Without a response,
// done is true and the result says why. The mask hides secrets in both.
func (s *Sender) Do(
	ctx context.Context, mask destination.Mask, build func(context.Context) (*http.Request, error),
) (answer Answer, result destination.Result, done bool) {
	if s.limited {
		if err := s.deps.Limiter.Take(ctx, Class); err != nil {
			return Answer{}, NotNow(ctx, err), true
		}
	}
	why := fmt.Errorf("there was none within %s", s.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, why)
	defer cancel()
	request, err := build(ctx)
	if err != nil {
		return Answer{}, destination.Result{Outcome: destination.GiveUp, Reason: mask.Hide("the request cannot be made: " + err.Error())}, true
	}
	tracing.Inject(ctx, request.Header)
	response, exchange, err := Exchange(s.client, request, mask)
	if err != nil {
		result = Unanswered(ctx, mask, err)
		result.Exchanges = []destination.Exchange{exchange}
		return Answer{}, result, true
	}
	defer func() { _ = response.Body.Close() }()
	// The status is what counts. A truncated or endless body does not change it.
	body, _ := io.ReadAll(io.LimitReader(response.Body, int64(mask.ReadAhead())))
	exchange.Response = mask.Response(body)
	return Answer{Status: response.StatusCode, Header: response.Header, Response: exchange.Response, Exchange: exchange}, destination.Result{}, false
}

// Exchange sends a request made by http.NewRequest, and returns what is kept of it. The caller adds the response's body.
func Exchange(client *http.Client, request *http.Request, mask destination.Mask) (*http.Response, destination.Exchange, error) {
	exchange := mask.Exchange(request)
	var wrote atomic.Bool
	watch := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), watch))) //nolint:gosec // the client refuses what may not be reached, see package egress
	if err != nil {
		exchange.Sent = wrote.Load()
		return nil, exchange, err
	}
	exchange.Sent, exchange.Status = true, response.StatusCode
	return response, exchange, nil
}

// NotNow returns the result for an error of Limiter.Take: the request was not sent.
func NotNow(ctx context.Context, err error) destination.Result {
	var later *destination.DeferredError
	switch {
	case errors.As(err, &later):
		return destination.Result{Outcome: destination.Deferred, Shared: true, After: later.After, Reason: later.Reason}
	case ctx.Err() != nil:
		return destination.Result{Outcome: destination.Retry, Reason: "sending was stopped before the request was sent"}
	default:
		return destination.Result{
			Outcome: destination.Deferred, Shared: true, After: pauseLimiter,
			Reason: "the limits of the destination could not be looked up; nothing was sent",
		}
	}
}

// Refusal is implemented by errors of destination.Deps.Client for forbidden targets, which retries do not
// help. Its text may be shown.
type Refusal interface {
	error
	Refused() bool
}

// Unanswered returns the result of a request without a response. The reason omits the URL, which may contain a
// secret.
func Unanswered(ctx context.Context, mask destination.Mask, err error) destination.Result {
	var refusal Refusal
	if errors.As(err, &refusal) && refusal.Refused() {
		return destination.Result{
			Outcome: destination.Pause,
			Reason:  mask.Hide("nothing may be sent to this URL: " + refusal.Error()),
		}
	}
	return destination.Result{Outcome: destination.Retry, Reason: mask.Hide(why(ctx, err))}
}

// why describes why a request got no response, without the URL.
func why(ctx context.Context, err error) string {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		op          *net.OpError
		ofURL       *url.Error
		timeout     net.Error
	)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "no answer: " + context.Cause(ctx).Error()
	case ctx.Err() != nil:
		return "sending was stopped before there was an answer; it may have arrived"
	case errors.As(err, &dns):
		return fmt.Sprintf("no connection: the host %s was not found (%s)", dns.Name, dns.Err)
	case errors.As(err, &certificate):
		return "no connection: its certificate cannot be trusted: " + certificate.Err.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &op):
		return fmt.Sprintf("no answer: %s: %s", op.Op, op.Err)
	case errors.As(err, &ofURL):
		return "no answer: " + ofURL.Err.Error()
	default:
		return "no answer: " + err.Error()
	}
}

// Later returns the result of a response that asks for a pause: any 429, or another status with a Retry-After.
// With rate limits, all that share them pause too, unless only this message is deferred.
func (s *Sender) Later(ctx context.Context, m *destination.Message, a Answer, now time.Time) (destination.Result, bool) {
	pause, asked := retryafter.In(a.Header, now)
	switch {
	case a.Status == http.StatusTooManyRequests && !asked:
		pause = pauseUnsaid
	case a.Status != http.StatusTooManyRequests && !asked:
		return destination.Result{}, false
	}
	pause = max(pause, time.Second)
	reason := fmt.Sprintf("it answered %d and takes no more for %s", a.Status, pause.Round(time.Second))
	if s.limited && !m.Deferred {
		// If the block cannot be stored, the result alone delays this destination.
		if err := s.deps.Limiter.Block(ctx, Class, pause, reason); err != nil {
			reason += "; the pause could not be noted for others who share the limit"
		}
	}
	later := a.Result(destination.Deferred, reason)
	later.After = pause
	return later, true
}

// Result returns a result with this response.
func (a Answer) Result(outcome destination.Outcome, reason string) destination.Result {
	return destination.Result{
		Outcome: outcome, Status: a.Status, Response: a.Response, Reason: reason, Exchanges: []destination.Exchange{a.Exchange},
	}
}

// Unwanted describes an unsuccessful response.
func (a Answer) Unwanted() string {
	if a.Status >= 300 && a.Status < 400 {
		return fmt.Sprintf("it answered %d, a redirect, and redirects are not followed: give the address that it leads to", a.Status)
	}
	if text := http.StatusText(a.Status); text != "" {
		return fmt.Sprintf("it answered %d %s", a.Status, text)
	}
	return fmt.Sprintf("it answered %d", a.Status)
}
