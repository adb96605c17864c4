package httpsend

import (
	"net/http"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/fault"
)

// reserved returns headers that would break the connection if set.
func reserved() []string {
	return []string{
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer",
		"Proxy-Authorization", "Proxy-Connection", "Expect",
	}
}

// CheckHeaderName returns a fault.Invalid if a header of this name cannot be set. own are the canonical names
// that the type sets itself.
func CheckHeaderName(field, name string, own ...string) error {
	odd := func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}
	switch canonical := http.CanonicalHeaderKey(name); {
	case name == "" || len(name) > 100 || strings.ContainsFunc(name, odd):
		return fault.Newf(fault.Invalid, "%s has the name %.40q: a header's name has letters, digits and hyphens, such as X-Api-Version", field, name)
	case slices.Contains(reserved(), canonical):
		return fault.Newf(fault.Invalid, "%s sets %s, which the connection itself decides: leave it out", field, canonical)
	case slices.Contains(own, canonical):
		return fault.Newf(fault.Invalid, "%s sets %s, which authsync sets itself: leave it out", field, canonical)
	}
	return nil
}

// maxLine is how many bytes servers take of an address, and of a header's value.
const maxLine = 8 << 10

// CheckURL returns a fault.Invalid if an address is too long to be sent, without quoting it.
func CheckURL(field, address string) error {
	if len(address) > maxLine {
		return fault.Newf(fault.Invalid, "%s gives an address of %d bytes; servers take at most %d", field, len(address), maxLine)
	}
	return nil
}

// CheckHeaderValue returns a fault.Invalid if a header cannot have this value, without quoting it.
func CheckHeaderValue(field, name, value string) error {
	if len(value) > maxLine {
		return fault.Newf(fault.Invalid, "%s: the value of %s has %d bytes; servers take at most %d", field, name, len(value), maxLine)
	}
	odd := func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }
	if strings.ContainsFunc(value, odd) {
		return fault.Newf(fault.Invalid, "%s: the value of %s holds a line break or another control character: take it out", field, name)
	}
	return nil
}
