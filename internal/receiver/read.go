package receiver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// A body is read into a buffer that begins with what the sender announces, at
// most firstRead, and doubles: memory is given for what has arrived, not for
// what was promised.
const (
	firstRead   = 4 << 10
	unknownRead = 4 << 10
)

var (
	errTooLarge = errors.New("the body is too large")
	errNoRoom   = errors.New("the bodies of other requests take all the memory meant for them")
)

// read reads the body whole and notes when that was.
func (d *request) read() answer {
	// The bytes are verified and stored as they come; only one form can be right.
	if e := d.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return answer{
			status: http.StatusUnsupportedMediaType, result: "compressed", closes: true,
			detail: "The body is compressed (Content-Encoding). Have it sent as it is: no provider compresses what it signs, " +
				"so a proxy on the way must have done it.",
		}
	}
	if d.r.ContentLength > d.config.MaxBody {
		return d.tooLarge()
	}
	control := http.NewResponseController(d.w)
	// A writer without deadlines (a recorder, a wrapper) leaves it to the server's own.
	limited := control.SetReadDeadline(time.Now().Add(d.config.ReadTimeout)) == nil
	err := d.readAll()
	if limited && err == nil {
		// Else it would strike while the delivery waits for its commit.
		err = control.SetReadDeadline(time.Time{})
	}
	d.received = d.config.Now()
	switch {
	case err == nil:
		return answer{}
	case errors.Is(err, errTooLarge):
		return d.tooLarge()
	case errors.Is(err, errNoRoom):
		a := unavailable("no_memory", err)
		a.closes = true
		return a
	case errors.Is(err, os.ErrDeadlineExceeded):
		return answer{
			status: http.StatusServiceUnavailable, result: "too_slow", cause: err, closes: true,
			detail: fmt.Sprintf("The body was not here within %s. Send it again.", d.config.ReadTimeout),
		}
	default:
		return answer{
			status: http.StatusServiceUnavailable, result: "cut_off", cause: err, closes: true,
			detail: "The connection broke before the body was complete. Send it again.",
		}
	}
}

func (d *request) tooLarge() answer {
	return answer{
		status: http.StatusRequestEntityTooLarge, result: "too_large", closes: true,
		detail: fmt.Sprintf("The body is larger than %d bytes. Have the provider send less, or raise AUTHSYNC_MAX_BODY_BYTES.", d.config.MaxBody),
	}
}

func (d *request) readAll() error {
	size := int64(unknownRead)
	if d.r.ContentLength >= 0 {
		size = min(d.r.ContentLength, firstRead)
	}
	size = min(size+1, d.config.MaxBody+1) // one more, to see the end
	for {
		if err := d.reserve(size); err != nil {
			return err
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
		size = min(2*size, d.config.MaxBody+1)
	}
}

// reserve raises what the request takes of the memory for bodies to size; the
// handler gives it back.
func (d *request) reserve(size int64) error {
	more := size - d.reserved
	if d.buffered.Add(more) > d.config.MaxBuffered {
		d.buffered.Add(-more)
		return errNoRoom
	}
	d.reserved = size
	return nil
}
