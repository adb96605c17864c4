package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Targets is the operator's allow-list of non-public targets, for http as well as https. The zero
// value is empty.
type Targets struct {
	// Private allows all private addresses, but neither this machine nor link-local and metadata
	// addresses.
	Private bool
	// Prefixes are address ranges.
	Prefixes []netip.Prefix
	// Names are host names, in lower case and without a trailing dot; subdomains are not included.
	// A listed name may lead to any private address, but not to link-local and metadata addresses,
	// which must be listed as addresses.
	Names []string
}

// Loopback allows this machine, for a developer's local server.
func Loopback() Targets {
	return Targets{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Names:    []string{"localhost"},
	}
}

// privateWord means Targets.Private, and noneWord an empty list.
const (
	privateWord = "private"
	noneWord    = "none"
)

// ParseTargets parses a comma-separated list of ranges (10.1.0.0/16), addresses and host names;
// "private" stands for all private addresses and "none" for an empty list. The error names the
// invalid entry.
func ParseTargets(text string) (Targets, error) {
	var t Targets
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" || part == noneWord {
			continue
		}
		if err := t.add(part); err != nil {
			return Targets{}, err
		}
	}
	return t, nil
}

func (t *Targets) add(part string) error {
	if part == privateWord {
		t.Private = true
		return nil
	}
	if strings.Contains(part, "/") {
		prefix, err := netip.ParsePrefix(part)
		switch {
		case err != nil:
			return fmt.Errorf("%q is no range of addresses such as 10.1.0.0/16, nor a host name alone", part)
		case prefix.Addr().Is4In6():
			return fmt.Errorf("%q is a range of IPv4 addresses in the form of IPv6: write it as IPv4", part)
		case prefix != prefix.Masked():
			// Either may be meant, and one allows more than the other.
			return fmt.Errorf("%q begins within its range: write %s for the range or %s for the address", part, prefix.Masked(), prefix.Addr())
		}
		t.Prefixes = append(t.Prefixes, prefix)
		return nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(part, "[]")); err == nil {
		if addr.Zone() != "" {
			return fmt.Errorf("%q has a zone, which is not supported", part)
		}
		addr = addr.Unmap()
		t.Prefixes = append(t.Prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(part, "."))
	if !isName(name) || endsInNumber(name) {
		return fmt.Errorf("%q is neither a range of addresses, nor an address, nor a host name (without scheme, port and *)", part)
	}
	t.Names = append(t.Names, name)
	return nil
}

// And returns the union of both lists.
func (t Targets) And(other Targets) Targets {
	return Targets{
		Private:  t.Private || other.Private,
		Prefixes: slices.Concat(t.Prefixes, other.Prefixes),
		Names:    slices.Concat(t.Names, other.Names),
	}
}

// String formats the list for ParseTargets, ranges first.
func (t Targets) String() string {
	parts := make([]string, 0, 1+len(t.Prefixes)+len(t.Names))
	if t.Private {
		parts = append(parts, privateWord)
	}
	for _, prefix := range t.Prefixes {
		parts = append(parts, prefix.String())
	}
	return strings.Join(append(parts, t.Names...), ",")
}

func (t Targets) hasAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(t.Prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (t Targets) hasName(name string) bool { return slices.Contains(t.Names, name) }
