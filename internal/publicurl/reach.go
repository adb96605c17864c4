package publicurl

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/fault"
)

// Setting is the variable with the base of our URLs.
const Setting = "AUTHSYNC_PUBLIC_URL"

// CheckReachable returns an error if a provider surely cannot send webhooks to a base URL. title is the
// provider's, and api the address of its API if it is not the provider's own: a stand-in on this machine
// reaches this machine. The error is a fault.Invalid that says what to do.
func CheckReachable(base, title, api string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return fault.Newf(fault.Invalid, "%s is not set: %s needs an address from which it reaches this server. %s", Setting, title, advice)
	}
	provider, _ := url.Parse(api) // one that cannot be read is on no machine
	if isLocal(u.Hostname()) && provider != nil && isLocal(provider.Hostname()) {
		return nil
	}
	switch {
	case isLocal(u.Hostname()) || isPrivate(u.Hostname()):
		return fault.Newf(fault.Invalid, "%s is an address of this machine or network, which %s cannot reach. %s", u.Scheme+"://"+u.Host, title, advice)
	case u.Scheme != "https":
		return fault.Newf(fault.Invalid, "%s is not https://, which %s requires. %s", u.Scheme+"://"+u.Host, title, advice)
	default:
		return nil
	}
}

const advice = "Set " + Setting + " of each process to the https:// address that this server has from outside (on a laptop: that of a tunnel), " +
	"or leave options.provision out and enter the webhook URL at the provider by hand"

// isLocal reports whether a host is this machine.
func isLocal(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified())
}

func isPrivate(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return addr.Unmap().IsPrivate() || addr.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal")
}
