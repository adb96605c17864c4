package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// A body is read into a buffer that starts with at most firstRead bytes and doubles, so that memory
// is allocated only for what has arrived. The budget is claimed for the announced length, so that
// no request waits for memory in the middle of its body.
const firstRead = 4 << 10

var (
	errTooLarge   = errors.New("the body is too large")
	errMemoryFull = errors.New("the bodies of other requests take all the memory meant for them")
)

// read reads the whole body and records when it was complete.
func (d *request) read() answer {
	// Bytes are verified and stored as sent, so only one encoding can be right.
	if e := d.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return answer{
			status: http.StatusUnsupportedMediaType, reason: reasonCompressed, closes: true,
			detail: "The body is compressed (Content-Encoding). Have it sent as it is: no provider compresses what it signs, " +
				"so a proxy on the way must have done it.",
		}
	}
	if d.r.ContentLength > d.config.MaxBody {
		return d.tooLarge()
	}
	control := http.NewResponseController(d.w)
	if err := d.claimMemory(); err != nil {
		a := unavailable(reasonNoMemory, err)
		a.closes = !d.discard(control)
		return a
	}
	// A writer without deadlines (a recorder, a wrapper) uses the server's own.
	limited := control.SetReadDeadline(time.Now().Add(d.config.ReadTimeout)) == nil
	err := d.readAll()
	if limited && err == nil {
		// Otherwise it would expire while the message waits for its commit. A connection closed in
		// the meantime does not affect a body already read.
		_ = control.SetReadDeadline(time.Time{})
	}
	d.received = d.config.Now()
	switch {
	case err == nil:
		return answer{}
	case errors.Is(err, errTooLarge):
		return d.tooLarge()
	case errors.Is(err, errMemoryFull):
		a := unavailable(reasonNoMemory, err)
		a.closes = true
		return a
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer{
			status: http.StatusServiceUnavailable, reason: reasonTooSlow, cause: err, closes: true,
			detail: fmt.Sprintf("The body was not here within %s. Send it again.", d.config.ReadTimeout),
		}
	default:
		return answer{
			status: http.StatusServiceUnavailable, reason: reasonCutOff, cause: err, closes: true,
			detail: "The connection broke before the body was complete. Send it again.",
		}
	}
}

// discardTimeout limits how long an unwanted body is read.
const discardTimeout = 2 * time.Second

// discard reads and drops the body, so that a sender that is still sending gets the answer rather
// than a broken connection. It reports whether it read all of it.
func (d *request) discard(control *http.ResponseController) bool {
	if control.SetReadDeadline(time.Now().Add(discardTimeout)) != nil {
		return false
	}
	_, err := io.Copy(io.Discard, io.LimitReader(d.r.Body, d.config.MaxBody))
	return err == nil && control.SetReadDeadline(time.Time{}) == nil && d.r.ContentLength >= 0
}

func (d *request) tooLarge() answer {
	return answer{
		status: http.StatusRequestEntityTooLarge, reason: reasonTooLarge, closes: true,
		detail: fmt.Sprintf("The body is larger than %d bytes. Have the provider send less, or raise AUTHSYNC_MAX_BODY_BYTES.", d.config.MaxBody),
	}
}

// claimMemory waits until there is memory for the whole body.
func (d *request) claimMemory() error {
	d.claim = claim{project: d.projectID, address: d.share(), size: firstRead + 1}
	if d.r.ContentLength >= 0 {
		d.claim.size = d.r.ContentLength + 1 // one more, to detect the end
	}
	ctx, cancel := context.WithTimeout(d.r.Context(), d.config.WaitTimeout)
	defer cancel()
	if !d.budget.take(ctx, &d.claim) {
		return errMemoryFull
	}
	return nil
}

// share is the address that the request's memory is charged to: for IPv6 the network, because one
// sender has all its addresses. Requests from this machine come from a proxy and are not charged.
func (d *request) share() netip.Addr {
	address := d.address.Unmap()
	if !address.IsValid() || address.IsLoopback() {
		return netip.Addr{}
	}
	if address.Is6() {
		if network, err := address.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return address
}

func (d *request) readAll() error {
	limit := d.config.MaxBody + 1
	if d.r.ContentLength >= 0 {
		limit = d.r.ContentLength + 1
	}
	size := min(firstRead+1, limit)
	for {
		if size > d.claim.size && !d.budget.grow(&d.claim, size) {
			return errMemoryFull
		}
		body := make([]byte, len(d.body), size)
		copy(body, d.body)
		d.body = body
		for len(d.body) < cap(d.body) {
			n, err := d.r.Body.Read(d.body[len(d.body):cap(d.body)])
			d.body = d.body[:len(d.body)+n]
			if int64(len(d.body)) > d.config.MaxBody {
				return errTooLarge
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		size = min(2*size, limit)
	}
}
