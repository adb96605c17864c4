// Package sse decodes a stream of server-sent events (the HTML standard, section 9.2.6) from a
// server that may be hostile: what it holds in memory is bounded, whatever comes.
package sse

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
)

// ErrEndless reports a message or line that goes on far beyond the limit.
var ErrEndless = errors.New("one message of the stream does not end")

// endless is how many times the limit a message may be long until its end is no longer waited for.
const endless = 16

// Event is a message of the stream.
type Event struct {
	// Type is its event field; empty if it has none.
	Type string
	// ID is its id field; empty if it has none.
	ID string
	// Data are its data fields, joined by line breaks. It is the receiver's to keep.
	Data []byte
	// TooLong reports that the message was longer than the limit; it has no Data then.
	TooLong bool
}

// Decoder decodes a stream that is given to it piece by piece. The zero value, with a Limit, is
// ready.
type Decoder struct {
	// Limit is the maximum length of a message with its field names, in bytes.
	Limit int

	line    []byte // the beginning of a line
	cut     bool   // the line is longer than the limit: the rest of it is dropped
	afterCR bool   // a line feed now belongs to the carriage return before it
	event   Event
	hasData bool
	length  int // of the message so far
	begun   bool
	retry   time.Duration
}

// Feed decodes the next piece and returns the messages that it completes. The error is ErrEndless.
func (d *Decoder) Feed(piece []byte) (events []Event, err error) {
	for len(piece) > 0 {
		if d.afterCR {
			d.afterCR = false
			if piece[0] == '\n' {
				piece = piece[1:]
				continue
			}
		}
		end := bytes.IndexAny(piece, "\r\n")
		if end < 0 {
			d.grow(piece)
			break
		}
		d.grow(piece[:end])
		d.afterCR = piece[end] == '\r'
		piece = piece[end+1:]
		if e, complete := d.endLine(); complete {
			events = append(events, e)
		}
	}
	if d.length > endless*d.Limit {
		return events, ErrEndless
	}
	return events, nil
}

// Unfinished reports whether the end of the stream so far is within a message or line.
func (d *Decoder) Unfinished() bool { return d.begun || len(d.line) > 0 || d.cut }

// ID is the id of the message that is not finished, if it came already.
func (d *Decoder) ID() string { return d.event.ID }

// Retry is how long the server last asked to wait before the next connection; 0 if it did not.
func (d *Decoder) Retry() time.Duration { return d.retry }

func (d *Decoder) grow(part []byte) {
	d.length += len(part)
	if room := d.Limit - len(d.line); len(part) > room {
		part, d.cut = part[:room], true
	}
	d.line = append(d.line, part...)
}

// endLine takes the line in; an empty one completes a message, unless nothing came before it.
func (d *Decoder) endLine() (e Event, complete bool) {
	line, cut := d.line, d.cut
	d.line, d.cut = d.line[:0], false
	if len(line) == 0 && !cut {
		e, complete = d.event, d.hasData || d.event.TooLong || d.event.ID != ""
		d.event, d.hasData, d.length, d.begun = Event{}, false, 0, false
		return e, complete
	}
	if line[0] == ':' { // a comment
		if !d.begun {
			d.length = 0
		}
		return Event{}, false
	}
	d.begun = true
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		d.event.Type = string(value)
	case "id":
		if !cut && bytes.IndexByte(value, 0) < 0 {
			d.event.ID = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(strings.TrimSpace(string(value)), 10, 31); err == nil {
			d.retry = time.Duration(ms) * time.Millisecond
		}
	case "data":
		d.addData(value, cut)
	}
	return Event{}, false
}

func (d *Decoder) addData(value []byte, cut bool) {
	if cut || d.length > d.Limit {
		d.event.TooLong, d.event.Data = true, nil
	}
	if d.event.TooLong {
		return
	}
	if d.hasData {
		d.event.Data = append(d.event.Data, '\n')
	}
	d.event.Data, d.hasData = append(d.event.Data, value...), true
}
