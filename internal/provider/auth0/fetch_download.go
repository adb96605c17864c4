package auth0

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	pageLines = 500
	pageBytes = 8 << 20 // a page ends early beyond this
	lineMax   = 2 << 20 // longer lines are rejected
	readAhead = 64 << 10
)

// errLink reports that the signed download link has expired, after 60 seconds. The job provides a
// new one.
var errLink = errors.New("the link to the export is refused")

// download is an export being read: gzipped JSON lines, of which at most a page is in memory. One
// goroutine uses it at a time.
type download struct {
	stream *userapi.Stream
	lines  *bufio.Reader
	job    string
	line   int64 // lines read
	done   bool  // the end was reached and the checksum was correct
	broken bool  // it cannot be read any further
}

func (d *download) close() { d.stream.Close() } //nolint:gosec // it was only read

// download opens the link and skips the lines before the place.
func (s *source) download(ctx context.Context, at place, link string) (*download, error) {
	stream, err := s.client.Open(ctx, userapi.Request{What: "download the export", URL: link})
	if err != nil {
		return nil, err
	}
	switch {
	case stream.Status == http.StatusBadRequest, stream.Status == http.StatusForbidden, stream.Status == http.StatusNotFound:
		stream.Close() //nolint:gosec // nothing is read
		return nil, fmt.Errorf("%w (%d)", errLink, stream.Status)
	case stream.Status != http.StatusOK || strings.HasPrefix(stream.Header.Get("Content-Type"), "text/html"):
		stream.Close() //nolint:gosec // nothing is read
		return nil, s.client.Unexpected("download the export", &userapi.Response{Status: stream.Status}, "it is no export")
	}
	return &download{stream: stream, job: at.Job}, nil
}

// unpack starts reading: gzip, or plain lines if a proxy has decompressed them.
func (d *download) unpack() error {
	raw := bufio.NewReaderSize(d.stream, readAhead)
	magic, err := raw.Peek(2)
	switch {
	case err != nil:
		return fmt.Errorf("it breaks off at its beginning: %w", err)
	case bytes.Equal(magic, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(raw)
		if err != nil {
			return fmt.Errorf("it cannot be unpacked: %w", err)
		}
		d.lines = bufio.NewReaderSize(unpacked, readAhead)
	case magic[0] == '{':
		d.lines = raw
	default:
		return errors.New("it is neither gzip nor JSON lines")
	}
	return nil
}

// page reads the lines after the first `from`. It fails only if it cannot read a single line.
func (d *download) page(ctx context.Context, from int64, fetchedAt time.Time) (userapi.Page, error) {
	release := d.stream.Bind(ctx)
	defer release()
	if d.lines == nil {
		if err := d.unpack(); err != nil {
			return userapi.Page{}, err
		}
	}
	for d.line < from {
		if _, _, err := d.next(false); errors.Is(err, io.EOF) {
			return userapi.Page{}, &errGoneExport{fmt.Sprintf("it has %d lines where %d were read before", d.line, from)}
		} else if err != nil {
			return userapi.Page{}, err
		}
	}
	page := userapi.Page{Partial: true} // an export has the requested fields; see exportFields
	for size := 0; d.line < from+pageLines && size < pageBytes; {
		text, long, err := d.next(true)
		if errors.Is(err, io.EOF) {
			d.done = true
			return page, nil
		}
		if err != nil {
			d.broken = true
			if d.line == from || ctx.Err() != nil {
				return userapi.Page{}, err
			}
			return page, nil
		}
		size += len(text)
		if len(text) == 0 && !long {
			continue
		}
		object, err := readLine(text, long)
		if err != nil {
			page.Bad = append(page.Bad, userapi.Bad{Place: fmt.Sprintf("line %d", d.line), Reason: err.Error()})
			continue
		}
		page.Users = append(page.Users, userapi.User{Object: object, FetchedAt: fetchedAt})
	}
	return page, nil
}

func readLine(text []byte, long bool) (json.RawMessage, error) {
	if long {
		return nil, fmt.Errorf("the line is longer than %d MiB", lineMax>>20)
	}
	if !json.Valid(text) {
		return nil, errors.New("the line is not JSON")
	}
	if _, err := userapi.ReadEntry(payload.Value(text), keyUserID, keyCreatedAt); err != nil {
		return nil, err
	}
	return text, nil
}

// next reads one line and returns a copy if keep is set; long reports that the line exceeded the
// limit. io.EOF is the real end, not a truncated line: every line of an export ends with a line
// break, or gzip's checksum after it is correct.
func (d *download) next(keep bool) (text []byte, long bool, err error) {
	any := false
	for {
		part, err := d.lines.ReadSlice('\n')
		any = any || len(part) > 0
		if keep && !long {
			text = append(text, part...)
			if long = len(text) > lineMax; long {
				text = nil
			}
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || !any) {
			if errors.Is(err, io.EOF) {
				return nil, false, io.EOF
			}
			return nil, false, fmt.Errorf("it breaks off: %w", err)
		}
		d.line++
		return bytes.TrimSpace(text), long, nil
	}
}

// take returns the open download if it is at that place, and otherwise closes it: walks from two
// places at the same time each open their own.
func (s *source) take(at place) *download {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.open
	s.open = nil
	if d == nil {
		return nil
	}
	if d.job != at.Job || d.line != at.Line {
		d.close()
		return nil
	}
	return d
}

// keep leaves a download open for the next page.
func (s *source) keep(d *download) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		s.open.close()
	}
	s.open = d
}

// Close closes an open download. The source remains usable.
func (s *source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		s.open.close()
		s.open = nil
	}
	return nil
}
