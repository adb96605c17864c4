// Package clientaddr tells where a request came from when proxies stand in front.
package clientaddr

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Setting is the environment variable that names the proxies.
const Setting = "AUTHSYNC_TRUSTED_PROXIES"

// Proxies are the addresses whose word about their clients is taken.
type Proxies []netip.Prefix

// Parse reads addresses and ranges, separated by commas.
func Parse(text string) (Proxies, error) {
	var p Proxies
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if address, e := netip.ParseAddr(part); e == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%.60q is no address and no range: it takes addresses such as 10.0.0.7 and ranges such as 10.0.0.0/16, separated by commas", part)
		}
		if prefix.Bits() == 0 {
			return nil, errors.New("a range of all addresses would let every sender choose its own: name those of your proxies")
		}
		p = append(p, prefix.Masked())
	}
	return p, nil
}

// String writes them as Parse takes them.
func (p Proxies) String() string {
	texts := make([]string, len(p))
	for i, prefix := range p {
		if texts[i] = prefix.String(); prefix.IsSingleIP() {
			texts[i] = prefix.Addr().String()
		}
	}
	return strings.Join(texts, ",")
}

// Contains reports a trusted proxy.
func (p Proxies) Contains(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(address.Unmap()) })
}

// Of is the address that a request came from: the other end of the connection or, where
// that is a trusted proxy, the last address in X-Forwarded-For that is none. What stands
// before it the sender may have made up. It is invalid where nothing can be told.
func (p Proxies) Of(r *http.Request) netip.Addr {
	address := Peer(r.RemoteAddr)
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(forwarded) {
		if !p.Contains(address) {
			break
		}
		before, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(text), "[]"))
		if err != nil {
			// Some proxies add the port.
			if withPort, e := netip.ParseAddrPort(strings.TrimSpace(text)); e == nil {
				before, err = withPort.Addr(), nil
			}
		}
		if err != nil {
			break
		}
		address = before.Unmap().WithZone("")
	}
	return address
}

// Peer reads the address of net.Conn.RemoteAddr.
func Peer(remote string) netip.Addr {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap().WithZone("")
}
