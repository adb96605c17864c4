package connlimit

import "bytes"

// lineStart and lineEnd are how much of both ends of a line is kept: more than the longest relevant
// name, and the HTTP version with the line ending.
const (
	lineStart = 20
	lineEnd   = len(" HTTP/1.1\r")
)

// heads scans the bytes of a connection line by line and counts the headers that give a request's
// length. It need not know where bodies begin and end: no line of a JSON document looks like one of
// these headers or like a request line.
type heads struct {
	start   [lineStart]byte // the start of the current line
	n       int
	end     []byte // its end, so far
	lengths int    // headers of the current request that give its length

	ambiguous bool // a request was ambiguous; it stays set because the connection is closed
}

// look scans what was read and reports whether any request was ambiguous.
func (h *heads) look(read []byte) bool {
	for len(read) > 0 {
		end := bytes.IndexByte(read, '\n')
		part := read
		if end >= 0 {
			part = read[:end]
		}
		h.n += copy(h.start[h.n:], part)
		h.end = append(h.end, part[max(0, len(part)-lineEnd):]...)
		h.end = append(h.end[:0], h.end[max(0, len(h.end)-lineEnd):]...)
		if end < 0 {
			break
		}
		h.endLine()
		h.n, h.end = 0, h.end[:0]
		read = read[end+1:]
	}
	return h.ambiguous
}

// reset marks the start of a request.
func (h *heads) reset() { h.n, h.end, h.lengths = 0, h.end[:0], 0 }

func (h *heads) endLine() {
	line := h.start[:h.n]
	switch {
	case h.isRequestLine(line):
		h.lengths = 0
	case isHeader(line, "content-length"), isHeader(line, "transfer-encoding"):
		h.lengths++
		h.ambiguous = h.ambiguous || h.lengths > 1
	}
}

// isRequestLine reports whether line is a request line: a method in capital letters, a target and a
// version. If the previous request was pipelined, the last line of its body precedes the method; it
// begins with a character that begins no header.
func (h *heads) isRequestLine(line []byte) bool {
	version := bytes.TrimSuffix(h.end, []byte("\r"))
	if !bytes.HasSuffix(version, []byte(" HTTP/1.1")) && !bytes.HasSuffix(version, []byte(" HTTP/1.0")) {
		return false
	}
	if len(line) > 0 && bytes.IndexByte([]byte("{}[]\" \t"), line[0]) >= 0 {
		return true
	}
	method, _, found := bytes.Cut(line, []byte(" "))
	if !found || len(method) == 0 {
		return false
	}
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

func isHeader(line []byte, name string) bool {
	return len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) &&
		(line[len(name)] == ':' || line[len(name)] == ' ' || line[len(name)] == '\t')
}
