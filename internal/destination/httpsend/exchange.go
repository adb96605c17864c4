// Package httpsend is one request of a destination and what is made of its answer, which the types
// that speak plain HTTP have in common.
package httpsend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/retryafter"
)

const (
	// AttemptTime is how long one attempt may take, from the first packet to the end of the answer.
	AttemptTime = 15 * time.Second
	// MaxBody is how large a body may be that is sent.
	MaxBody = 1 << 20
	// pauseUnsaid is how long nothing is sent after a 429 that does not say how long.
	pauseUnsaid = 30 * time.Second
	// pauseLimiter is how long to wait where the limits could not be asked for.
	pauseLimiter = 5 * time.Second
	// UserAgent names the sender.
	UserAgent = "authsync (+https://github.com/authsync/authsync)"
	// Class is the class of all requests of these types; see destination.Limiter.
	Class = "requests"
)

// Sender sends requests for one destination. It is safe for concurrent use.
type Sender struct {
	client  *http.Client
	deps    destination.Deps
	limited bool
	timeout time.Duration
}

// NewSender makes a Sender. Limited says that the destination has limits; timeout 0 is AttemptTime.
func NewSender(d destination.Deps, limited bool, timeout time.Duration) *Sender {
	if timeout == 0 {
		timeout = AttemptTime
	}
	return &Sender{client: Client(d), deps: d, limited: limited && d.Limiter != nil, timeout: timeout}
}

// Client is the client of a destination. Without one in its surroundings it is only checked or previewed.
func Client(d destination.Deps) *http.Client {
	client := &http.Client{Transport: unconnected{}}
	if d.Client != nil {
		own := *d.Client
		client = &own
	}
	// A redirect would lead the request, and its secrets, elsewhere than a person has said.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// unconnected is the transport of a destination that is only checked or previewed.
type unconnected struct{}

func (unconnected) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("this process sends nothing")
}

// Answer is what came back.
type Answer struct {
	Status   int
	Header   http.Header
	Response string // see destination.Result
}

// Do waits for the limits, sends a request made by build, and reads the answer. Where there is no
// answer, done is true and the result says why. The mask hides what must not be kept of either.
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
	response, err := s.client.Do(request)
	if err != nil {
		return Answer{}, Unanswered(ctx, mask, err), true
	}
	defer func() { _ = response.Body.Close() }()
	// The status is the answer. A body that breaks off or never ends takes nothing from it.
	body, _ := io.ReadAll(io.LimitReader(response.Body, int64(mask.ReadAhead())))
	return Answer{Status: response.StatusCode, Header: response.Header, Response: mask.Response(body)}, destination.Result{}, false
}

// NotNow is the result of a request that was not sent because of the limits: by the error of Limiter.Take.
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

// Refusal is what an error of destination.Deps.Client is if the target is not allowed, which no
// further attempt changes. Its text may be shown.
type Refusal interface {
	error
	Refused() bool
}

// Unanswered is the result of a request that got no answer. The reason never holds the URL, which may have a secret in it.
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

// why says in words why a request got no answer, without the URL.
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

// Later is the result of an answer that asks to wait: a 429 always, any other status if it has a Retry-After.
// Where there are limits, others who share them wait as well, unless only this message is put off.
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
		// If the block cannot be noted, the result alone holds this destination back.
		if err := s.deps.Limiter.Block(ctx, Class, pause, reason); err != nil {
			reason += "; the pause could not be noted for others who share the limit"
		}
	}
	return destination.Result{Outcome: destination.Deferred, Status: a.Status, Response: a.Response, After: pause, Reason: reason}, true
}

// Result is a result about an answer.
func (a Answer) Result(outcome destination.Outcome, reason string) destination.Result {
	return destination.Result{Outcome: outcome, Status: a.Status, Response: a.Response, Reason: reason}
}

// Unwanted says in words what an answer is that is no success.
func (a Answer) Unwanted() string {
	if a.Status >= 300 && a.Status < 400 {
		return fmt.Sprintf("it answered %d, a redirect, and redirects are not followed: give the address that it leads to", a.Status)
	}
	if text := http.StatusText(a.Status); text != "" {
		return fmt.Sprintf("it answered %d %s", a.Status, text)
	}
	return fmt.Sprintf("it answered %d", a.Status)
}
