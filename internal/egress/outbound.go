// Package egress sends all of authsync's HTTP requests to addresses chosen by customers. Such an
// address may lead, by mistake or on purpose, to something that only the server can reach: its own
// ports, the operator's network, the cloud's metadata. The Guard blocks that:
//
//	CheckURL    when an address is stored: its scheme, host, port and form
//	  │
//	Transport   before each request: the same check
//	  │
//	DialContext the name is resolved once and every address of the answer is
//	            checked; one of the checked addresses is dialed, never the name
//	            again, so a DNS server that changes its answer gains nothing
//
// If one address of an answer is forbidden, all are refused: an honest name does not lead both
// outside and inside.
//
// A refusal is a *BlockedError, for which retrying is pointless. A DNS server that does not answer,
// or a connection that fails, is an ordinary error of package net.
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

// Setting is the name of the operator's allow-list in errors; DatabaseSetting is that of the list
// for databases.
const (
	Setting         = "AUTHSYNC_ALLOW_TARGETS"
	DatabaseSetting = "AUTHSYNC_ALLOW_DATABASE_TARGETS"
)

// Resolver resolves names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config configures a Guard. The zero value allows public addresses over https.
type Config struct {
	// Allow lists the non-public targets that the operator allows.
	Allow Targets
	// Setting is the name of the setting that Allow comes from, for errors; empty means Setting.
	Setting string
	// Resolver resolves names; nil means the machine's resolver.
	Resolver Resolver
	// Dial connects to a checked address; nil means a plain net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout limits resolving and connecting together; 0 means 10 s.
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

// New returns a Guard.
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

// BlockedError reports that a target is refused, why, and what to do. Retrying is pointless. The
// text contains only the target's scheme, host and port: path and query may be secret. Nor does it
// contain the address that a name resolves to, which the operator may keep private.
type BlockedError struct {
	// Target is the requested target, such as https://10.0.0.5.
	Target string
	// Reason says what is wrong, and what to do.
	Reason string
}

func (e *BlockedError) Error() string { return e.Target + " " + e.Reason }

// Refused distinguishes the error from network failures, for packages that do not import this one.
func (e *BlockedError) Refused() bool { return true }

// Transport returns a transport that sends requests only where the Guard allows, and directly: it
// ignores the environment's proxy, which would resolve names itself. The client handles redirects;
// each is checked again.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		// Called before each request, even on an open connection.
		Proxy: func(r *http.Request) (*url.URL, error) {
			return nil, g.checkURL(r.URL)
		},
		DialContext:            g.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxIdleConns:           500,
		MaxIdleConnsPerHost:    16, // a destination's maximum concurrency
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Client returns a client with its own transport that follows no redirects: a 3xx is the answer.
// The timeout limits a request until its body is read. Keep the client, and close its idle
// connections at the end.
func (g *Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     g.Transport(),
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// DialContext connects to a host and port, as http.Transport requires. It dials an address that it
// has checked.
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

// resolve returns the addresses of a host, all of which are allowed.
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

// dialAny connects to the first address that answers. Each gets its share of the remaining time, so
// that one that hangs leaves time for the others.
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
