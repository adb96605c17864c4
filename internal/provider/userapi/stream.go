package userapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// idleStream is how long an unread download stays open.
const idleStream = time.Minute

// Stream is the body of a long download. Each wait for more of it is limited; it is closed if
// nobody reads for a minute. One goroutine reads at a time.
type Stream struct {
	Status int
	Header http.Header
	// SentAt is when the request was sent.
	SentAt time.Time

	client *Client
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	timer  *time.Timer
	once   sync.Once
}

var errStalled = errors.New("nothing came, or nobody read, for too long")

// Open starts a download. The stream outlives ctx, which limits only Open; see Bind. It requests
// the bytes as stored, without further encoding.
func (c *Client) Open(ctx context.Context, r Request) (*Stream, error) {
	var stream *Stream
	err := c.retry(ctx, r, func() error {
		var err error
		stream, err = c.open(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return stream, nil
}

func (c *Client) open(ctx context.Context, r Request) (*Stream, error) {
	lasting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &Stream{client: c, cancel: cancel}
	s.timer = time.AfterFunc(c.deps.Timeout, func() { cancel(errStalled) })
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	defer stop()
	answer, sentAt, err := c.send(lasting, ctx, r) //nolint:bodyclose // Close does it
	if err != nil {
		s.timer.Stop()
		cancel(nil)
		return nil, err
	}
	s.Status, s.Header, s.SentAt, s.body = answer.StatusCode, answer.Header, sentAt, answer.Body
	s.rest()
	return s, nil
}

// Bind makes the end of ctx abort the download, until release is called.
func (s *Stream) Bind(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
}

// Read reads on. An error other than io.EOF can be shown.
func (s *Stream) Read(p []byte) (int, error) {
	s.timer.Reset(s.client.deps.Timeout)
	n, err := s.body.Read(p)
	s.rest()
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader promises io.EOF itself
		err = errors.New(s.client.reason(err))
	}
	return n, err
}

// rest limits the time until the next read.
func (s *Stream) rest() { s.timer.Reset(idleStream) }

// Close ends the stream; it may be called more than once.
func (s *Stream) Close() error {
	s.once.Do(func() {
		s.timer.Stop()
		s.cancel(nil)
		s.body.Close() //nolint:gosec // it was only read
	})
	return nil
}
