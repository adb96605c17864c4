package egress

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL is the maximum length of an address. Servers refuse longer ones.
const maxURL = 2048

const (
	adviceAddress = "; give a public one, or let the operator add it to "
	adviceName    = "; give a name that leads to public addresses only, or let the operator add it to "
	badPort       = "has a port that does not exist: it is a number from 1 to 65535"
)

// CheckURL returns an error if the address alone shows that requests to it are not allowed; use it
// when the address is stored. What a name resolves to is checked when a request is sent. The error
// is a *BlockedError.
func (g *Guard) CheckURL(raw string) error {
	if len(raw) > maxURL {
		return &BlockedError{Target: "the URL", Reason: fmt.Sprintf("is %d bytes long: at most %d are taken", len(raw), maxURL)}
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The cause would quote the URL, which may contain secrets.
		return &BlockedError{Target: "the URL", Reason: "cannot be read: it looks like https://app.example.com/path"}
	}
	return g.checkURL(u)
}

// CheckHost is CheckURL for a host alone, for protocols other than HTTP. The error is a
// *BlockedError.
func (g *Guard) CheckHost(host string) error {
	_, err := g.checkHost(host, showHost(host, ""))
	return err
}

func (g *Guard) checkURL(u *url.URL) error {
	host, port := u.Hostname(), u.Port()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return &BlockedError{Target: "the URL", Reason: "does not begin with https://: give a whole address, such as https://app.example.com/path"}
	case host == "":
		return &BlockedError{Target: "the URL", Reason: "has no host: give a whole address, such as https://app.example.com/path"}
	case u.User != nil:
		return &BlockedError{Target: "the URL", Reason: "holds a user name or password: leave them out, and give them as a header"}
	}
	shown := u.Scheme + "://" + showHost(host, port)
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return &BlockedError{Target: shown, Reason: badPort}
		}
	}
	t, err := g.checkHost(host, shown)
	if err != nil {
		return err
	}
	if u.Scheme == "http" && !t.http {
		return &BlockedError{Target: shown, Reason: "is not encrypted: give an https:// address, or let the operator add the host to " + g.setting}
	}
	return nil
}

// target is an allowed host.
type target struct {
	addr  netip.Addr // zero for a name
	named bool       // the name is on the operator's list
	http  bool       // it is on the operator's list, so http is allowed
}

// checkHost checks a host as written in a URL: a literal address or a name.
func (g *Guard) checkHost(host, shown string) (target, error) {
	blocked := func(reason string) (target, error) { return target{}, &BlockedError{Target: shown, Reason: reason} }
	// A trailing dot marks an absolute name; it is still the same host.
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	addr, err := netip.ParseAddr(name)
	switch {
	case err == nil && addr.Zone() != "":
		return blocked("has a zone (what stands after %), which only means something on one machine: give a public address")
	case err == nil:
		addr = addr.Unmap()
		if reason := g.forbidden(addr, false); reason != "" {
			return blocked("is " + reason + adviceAddress + g.setting)
		}
		return target{addr: addr, http: g.allow.hasAddr(addr)}, nil
	case !isName(name):
		return blocked("has a host that is no name: write it with letters, digits, hyphens and dots (an international name as xn--…)")
	case endsInNumber(name):
		return blocked("is an address in a form that programs read differently: write it as four decimal numbers, such as 203.0.113.7")
	}
	listed := g.allow.hasName(name)
	if local := name == "localhost" || strings.HasSuffix(name, ".localhost"); local && !listed {
		return blocked("is this machine itself (RFC 6761)" + adviceName + g.setting)
	}
	return target{named: listed, http: listed}, nil
}

// isName reports whether name is a valid host name for DNS and certificates. Names in private
// networks may contain underscores.
func isName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// endsInNumber reports whether C libraries and browsers read the name as an IPv4 address, such as
// 2130706433, 0x7f.1 or 127.0.0.01 (https://url.spec.whatwg.org, "ends in a number checker"). No
// top-level domain is a number.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, is := strings.CutPrefix(last, "0x"); is {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// showHost formats host and port as in a URL, safe to print.
func showHost(host, port string) string {
	if len(host) > 253 {
		host = host[:253] + "…"
	}
	host = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, host), "?")
	switch {
	case port != "":
		return net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	default:
		return host
	}
}
