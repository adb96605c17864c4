// Package egress is the one way in which authsync sends HTTP to addresses that
// a customer chose. Such an address may lead, by mistake or on purpose, to what only
// the server can reach: its own ports, the operator's network, the cloud's metadata.
// The Guard keeps requests away from there:
//
//	CheckURL    when an address is stored: its scheme, host, port and form
//	  │
//	Transport   before each request: the same check
//	  │
//	DialContext the name is resolved once; every address of the answer is looked
//	            up in the table; one of the checked addresses is dialed, never
//	            the name again, so a DNS server that changes its answer gains nothing
//
// If one address of an answer is forbidden, all are refused: a name that leads
// both outside and inside is no honest mistake.
//
// A refusal is a *BlockedError, which trying again does not change. A DNS server that does
// not answer, or a connection that fails, is an ordinary error of package net.
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Setting is the name of the operator's allow-list, which errors speak of;
// DatabaseSetting is that of the list for databases.
const (
	Setting         = "AUTHSYNC_ALLOW_TARGETS"
	DatabaseSetting = "AUTHSYNC_ALLOW_DATABASE_TARGETS"
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what a Guard needs. The zero value allows what is public, by https.
type Config struct {
	// Allow is what the operator allows though it is not public.
	Allow Targets
	// Setting is the name of the setting that Allow comes from, which errors speak of; empty: Setting.
	Setting string
	// Resolver finds the addresses of names; nil: as this machine does.
	Resolver Resolver
	// Dial connects to an address that was checked; nil: a plain net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout bounds resolving and connecting together; 0: 10 s.
	DialTimeout time.Duration
}

// Guard decides where requests may go. It is safe for concurrent use.
type Guard struct {
	allow    Targets
	setting  string
	blocks   []block
	resolver Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	timeout  time.Duration
}

// New makes a Guard.
func New(c Config) *Guard {
	g := &Guard{
		allow: c.Allow, setting: cmp.Or(c.Setting, Setting), blocks: blocks(), resolver: c.Resolver, dial: c.Dial, timeout: cmp.Or(c.DialTimeout, 10*time.Second),
	}
	if g.resolver == nil {
		g.resolver = net.DefaultResolver
	}
	if g.dial == nil {
		g.dial = (&net.Dialer{}).DialContext
	}
	return g
}

// BlockedError says that a target is refused, why, and what to do. Trying again
// does not help. The text holds scheme, host and port of the target and nothing else
// of it: path and query may be secret. Nor does it hold an address that a name
// leads to, which may be the operator's secret.
type BlockedError struct {
	// Target is what was asked for, such as https://10.0.0.5.
	Target string
	// Reason says what is wrong with it, and what to do.
	Reason string
}

func (e *BlockedError) Error() string { return e.Target + " " + e.Reason }

// Refused tells it from trouble on the way, for packages that need not know this one.
func (e *BlockedError) Refused() bool { return true }

// Transport makes a transport whose requests go where the Guard allows, and
// directly: no proxy of the environment is used, for it would resolve names
// itself. Its redirects are the client's to follow; each is checked again.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		// Asked before each request, also one on a connection that is open already.
		Proxy: func(r *http.Request) (*url.URL, error) {
			return nil, g.checkURL(r.URL)
		},
		DialContext:            g.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxIdleConns:           500,
		MaxIdleConnsPerHost:    16, // as many as a destination sends at a time
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Client makes a client with a transport of its own that follows no redirect:
// the answer 3xx is the answer. The timeout bounds a request until its body is read.
// Keep the client, and close its idle connections in the end.
func (g *Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     g.Transport(),
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// DialContext connects to a host and port, as http.Transport wants it. It dials
// an address that it has checked.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &BlockedError{Target: "the address", Reason: "is no host and port"}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return nil, &BlockedError{Target: address, Reason: badPort}
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	return g.dialAny(ctx, network, addrs, uint16(number))
}

// resolve gives the addresses of a host, all of which are allowed.
func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	target, err := g.checkHost(host, host)
	if err != nil {
		return nil, err
	}
	if target.addr.IsValid() {
		return []netip.Addr{target.addr}, nil
	}
	addrs, err := g.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
		if reason := g.forbidden(addrs[i], target.named); reason != "" {
			return nil, &BlockedError{Target: host, Reason: "leads to " + reason + adviceName + g.setting}
		}
	}
	return addrs, nil
}

// dialAny connects to the first address that answers. Each gets its share of
// the time that is left, so that one that hangs leaves some for the others.
func (g *Guard) dialAny(ctx context.Context, network string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	var failures []error
	deadline, _ := ctx.Deadline()
	for i, addr := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		attempt, cancel := context.WithTimeout(ctx, share)
		conn, err := g.dial(attempt, network, netip.AddrPortFrom(addr, port).String())
		cancel()
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}
