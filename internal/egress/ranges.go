package egress

import (
	"fmt"
	"net/netip"
)

// block is a range of non-public addresses.
type block struct {
	prefix netip.Prefix
	what   string // with an article
	// private allows a name on the operator's list to lead there. A name never leads to the other
	// ranges, which must be listed as ranges: metadata services hand out keys.
	private bool
}

// blocks lists the non-public ranges, the narrower first where two overlap. Sources: the IANA
// special-purpose registries (https://www.iana.org/assignments/iana-ipv4-special-registry and
// iana-ipv6-special-registry) with the RFCs noted beside each, and the cloud providers' manuals.
func blocks() []block {
	at := netip.MustParsePrefix
	return []block{
		{at("168.63.129.16/32"), "the platform address of Azure", false}, // a public address that reaches the host of a virtual machine
		{at("100.100.100.200/32"), "the metadata address of Alibaba Cloud", false},
		{at("fd00:ec2::/32"), "a metadata address of AWS", false}, // 254 (metadata), 253 (DNS), 123 (time)

		{at("0.0.0.0/32"), "the unspecified address", false},              // RFC 1122, 3.2.1.3: this machine
		{at("0.0.0.0/8"), "an address of \"this network\"", false},        // RFC 791, 3.2
		{at("10.0.0.0/8"), "a private address", true},                     // RFC 1918
		{at("100.64.0.0/10"), "a shared address of carriers", true},       // RFC 6598
		{at("127.0.0.0/8"), "a loopback address", true},                   // RFC 1122, 3.2.1.3
		{at("169.254.0.0/16"), "a link-local or metadata address", false}, // RFC 3927; 169.254.169.254
		{at("172.16.0.0/12"), "a private address", true},                  // RFC 1918
		{at("192.0.0.0/24"), "an address for protocols", false},           // RFC 6890, 2.1; 192.0.0.192 is metadata of Oracle Cloud
		{at("192.0.2.0/24"), "an address for documentation", false},       // RFC 5737
		{at("192.88.99.0/24"), "an address of 6to4 relays", false},        // RFC 7526
		{at("192.168.0.0/16"), "a private address", true},                 // RFC 1918
		{at("198.18.0.0/15"), "an address for benchmarks", false},         // RFC 2544
		{at("198.51.100.0/24"), "an address for documentation", false},    // RFC 5737
		{at("203.0.113.0/24"), "an address for documentation", false},     // RFC 5737
		{at("224.0.0.0/4"), "a multicast address", false},                 // RFC 5771
		{at("255.255.255.255/32"), "the broadcast address", false},        // RFC 919
		{at("240.0.0.0/4"), "a reserved address", false},                  // RFC 1112, 4

		{at("::/128"), "the unspecified address", false},                    // RFC 4291, 2.5.2: this machine
		{at("::1/128"), "the loopback address", true},                       // RFC 4291, 2.5.3
		{at("::/96"), "an address that holds an IPv4 one", false},           // RFC 4291, 2.5.5.1, deprecated
		{at("::ffff:0:0:0/96"), "an address that holds an IPv4 one", false}, // RFC 2765, 2.1
		{at("64:ff9b:1::/48"), "an address of local translators", false},    // RFC 8215: the position of the IPv4 address is unknown
		{at("100::/64"), "an address whose packets are discarded", false},   // RFC 6666
		{at("100:0:0:1::/64"), "a dummy address", false},                    // RFC 9780
		{at("2001::/32"), "a Teredo address", false},                        // RFC 4380
		{at("2001:2::/48"), "an address for benchmarks", false},             // RFC 5180
		{at("2001:10::/28"), "an ORCHID address", false},                    // RFC 4843
		{at("2001:20::/28"), "an ORCHID address", false},                    // RFC 7343
		{at("2001::/23"), "an address for protocols", false},                // RFC 2928
		{at("2001:db8::/32"), "an address for documentation", false},        // RFC 3849
		{at("2002::/16"), "a 6to4 address", false},                          // RFC 3056: it contains an IPv4 address
		{at("3fff::/20"), "an address for documentation", false},            // RFC 9637
		{at("5f00::/16"), "an address of segment routing", false},           // RFC 9602
		{at("fc00::/7"), "a private address", true},                         // RFC 4193
		{at("fe80::/10"), "a link-local address", false},                    // RFC 4291, 2.5.6
		{at("fec0::/10"), "a site-local address", false},                    // RFC 3879
		{at("ff00::/8"), "a multicast address", false},                      // RFC 4291, 2.7
	}
}

// forbidden describes, with an article, the kind of an address that no request may go to; otherwise
// it returns "". The address has no zone and is not mapped (::ffff:0:0/96, RFC 4291, 2.5.5.2): see
// netip.Addr.Unmap. byName reports that a name on the operator's list led there.
func (g *Guard) forbidden(addr netip.Addr, byName bool) string {
	if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
		return "no plain address"
	}
	if g.allow.hasAddr(addr) {
		return ""
	}
	for _, b := range g.blocks {
		if b.prefix.Contains(addr) {
			if b.private && (byName || g.allow.Private && !addr.IsLoopback()) {
				return ""
			}
			return fmt.Sprintf("%s (%s)", b.what, b.prefix)
		}
	}
	if addr.Is4() {
		return ""
	}
	if inner, is := translated(addr); is {
		if reason := g.forbidden(inner, byName); reason != "" {
			return "a translation of " + reason
		}
		return ""
	}
	if !netip.MustParsePrefix("2000::/3").Contains(addr) { // RFC 4291, 2.4; nothing else is assigned as public
		return "an address that is not public (outside of 2000::/3)"
	}
	return ""
}

// translated returns the IPv4 address in a NAT64 address (RFC 6052, 2.1), through which networks
// without IPv4 reach public servers.
func translated(addr netip.Addr) (netip.Addr, bool) {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(addr) {
		return netip.Addr{}, false
	}
	whole := addr.As16()
	return netip.AddrFrom4([4]byte(whole[12:])), true
}
