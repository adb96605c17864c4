package connlimit

import "bytes"

// lineStart and lineEnd are how much of both ends of a line is looked at: more than the longest
// name that counts, and the version with the end of the line.
const (
	lineStart = 20
	lineEnd   = len(" HTTP/1.1\r")
)

// heads reads what comes on a connection line by line, to count the headers that give the
// length of a request. It does not know where a body begins and ends, and need not: no line
// of a JSON document looks like one of these headers or like the first line of a request.
type heads struct {
	start   [lineStart]byte // the beginning of the line under way
	n       int
	end     []byte // its end, so far
	lengths int    // headers of the request under way that give its length

	ambiguous bool // a request was; that ends the connection, so it stays
}

// look takes what was read and reports whether a request was ambiguous so far.
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

// reset: the next byte begins a request.
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

// isRequestLine reports the first line of a request: a method in capital letters, a target and
// a version. Where the request before it was sent on the same connection without a pause, the
// last line of its body stands before the method: that begins with what no header begins with.
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
