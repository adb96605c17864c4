package egress_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errDialed is the end of every dial of a recorder without a server behind it.
var errDialed = errors.New("nobody is there")

// recorder notes what is dialed. With an address of a server it leads there instead.
type recorder struct {
	mu     sync.Mutex
	dialed []string
	server string
	fail   map[string]bool // addresses where nobody is
}

func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	r.dialed = append(r.dialed, address)
	fail := r.fail[address]
	r.mu.Unlock()
	if r.server == "" || fail {
		return nil, errDialed
	}
	return (&net.Dialer{}).DialContext(ctx, network, r.server)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.dialed...)
}

func addrs(texts ...string) []netip.Addr {
	all := make([]netip.Addr, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParseAddr(text)
	}
	return all
}

func targets(t *testing.T, text string) egress.Targets {
	t.Helper()
	list, err := egress.ParseTargets(text)
	require.NoError(t, err)
	return list
}

func requireBlocked(t require.TestingT, err error, part string) {
	blocked := &egress.BlockedError{}
	require.ErrorAs(t, err, &blocked)
	require.ErrorContains(t, blocked, part)
}

// get asks for an address and gives the status and Location of the answer.
func get(t *testing.T, client *http.Client, address string) (status int, location string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	require.NoError(t, err)
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode, answer.Header.Get("Location"), nil
}

// TestWhereNamesLead asks a DNS server of its own over UDP, as in production.
func TestWhereNamesLead(t *testing.T) {
	t.Parallel()
	public, other := "93.184.216.34", "2606:4700::6810:85e5"
	cases := map[string]struct {
		allow   string
		answers [][]netip.Addr
		dialed  []string // for the first request; nil: it is blocked
		reason  string
	}{
		"PublicIsDialed":              {"", [][]netip.Addr{addrs(public)}, []string{public + ":443"}, ""},
		"PublicIPv6IsDialed":          {"", [][]netip.Addr{addrs(other)}, []string{"[" + other + "]:443"}, ""},
		"EachAddressIsTried":          {"", [][]netip.Addr{addrs(public, "93.184.216.35")}, []string{public + ":443", "93.184.216.35:443"}, ""},
		"NAT64OfAPublicOneIsDialed":   {"", [][]netip.Addr{addrs("64:ff9b::5db8:d822")}, []string{"[64:ff9b::5db8:d822]:443"}, ""},
		"OnePrivateAmongPublic":       {"", [][]netip.Addr{addrs(public, "127.0.0.1")}, nil, "leads to a loopback address (127.0.0.0/8)"},
		"OnePrivateOfTheOtherFamily":  {"", [][]netip.Addr{addrs(public, "::1")}, nil, "leads to the loopback address (::1/128)"},
		"Private":                     {"", [][]netip.Addr{addrs("10.0.0.5")}, nil, "name.example leads to a private address (10.0.0.0/8)"},
		"Mapped":                      {"", [][]netip.Addr{addrs("::ffff:10.0.0.5")}, nil, "leads to a private address (10.0.0.0/8)"},
		"ListedRange":                 {"10.0.0.0/8", [][]netip.Addr{addrs("10.0.0.5")}, []string{"10.0.0.5:443"}, ""},
		"ListedRangeButNotAll":        {"10.0.0.0/8", [][]netip.Addr{addrs("10.0.0.5", "192.168.0.1")}, nil, "leads to a private address (192.168.0.0/16)"},
		"ListedName":                  {"name.example", [][]netip.Addr{addrs("10.0.0.5")}, []string{"10.0.0.5:443"}, ""},
		"ListedNameToMetadata":        {"name.example", [][]netip.Addr{addrs("169.254.169.254")}, nil, "link-local or metadata"},
		"ListedNameAndMetadataListed": {"name.example,169.254.169.254", [][]netip.Addr{addrs("169.254.169.254")}, []string{"169.254.169.254:443"}, ""},
		"NameAboveIsListed":           {"example", [][]netip.Addr{addrs("10.0.0.5")}, nil, "private"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dns, dialer := newDNS(t, map[string][][]netip.Addr{"name.example": c.answers}), &recorder{}
			client := egress.New(egress.Config{Allow: targets(t, c.allow), Resolver: dns.resolver(), Dial: dialer.dial}).Client(time.Minute)
			_, _, err := get(t, client, "https://name.example/")
			if c.dialed == nil {
				requireBlocked(t, err, c.reason)
				require.NotContains(t, err.Error(), "10.0.0.5", "where the name leads is not told")
				require.Empty(t, dialer.all())
				return
			}
			require.ErrorIs(t, err, errDialed)
			require.Equal(t, c.dialed, dialer.all())
		})
	}
}

// TestRebinding: the server says a public address first and this machine after.
func TestRebinding(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	dns := newDNS(t, map[string][][]netip.Addr{"rebind.example": {addrs("93.184.216.34"), addrs("127.0.0.1")}})
	dialer := &recorder{server: server.Listener.Addr().String()}
	client := egress.New(egress.Config{Allow: targets(t, "rebind.example"), Resolver: dns.resolver(), Dial: dialer.dial}).Client(time.Minute)
	strict := egress.New(egress.Config{Resolver: dns.resolver(), Dial: dialer.dial})

	// Listed, so that it may be http, which the server behind speaks.
	status, _, err := get(t, client, "http://rebind.example/")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, 1, dns.questions("rebind.example"), "the name is asked for once a connection")
	require.Equal(t, []string{"93.184.216.34:80"}, dialer.all(), "what is dialed is the address that was checked")
	client.CloseIdleConnections()

	conn, err := strict.DialContext(t.Context(), "tcp", "rebind.example:443")
	require.Nil(t, conn)
	requireBlocked(t, err, "loopback")
	require.Len(t, dialer.all(), 1)
}

func TestPortsThatDoNotExist(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"0", "65536", "-1", "https"} {
		_, err := egress.New(egress.Config{Dial: (&recorder{}).dial}).DialContext(t.Context(), "tcp", "93.184.216.34:"+port)
		requireBlocked(t, err, "a port that does not exist")
	}
}

func TestTheNextAddressIsTried(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	dns := newDNS(t, map[string][][]netip.Addr{"two.example": {addrs("93.184.216.34", "93.184.216.35")}})
	dialer := &recorder{server: server.Listener.Addr().String(), fail: map[string]bool{"93.184.216.34:443": true}}
	conn, err := egress.New(egress.Config{Resolver: dns.resolver(), Dial: dialer.dial}).DialContext(t.Context(), "tcp", "two.example:443")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.Len(t, dialer.all(), 2)
}

// TestTroubleIsNoRefusal: what may be better later is no *BlockedError.
func TestTroubleIsNoRefusal(t *testing.T) {
	t.Parallel()
	dns := newDNS(t, map[string][][]netip.Addr{"empty.example": {nil}})
	guard := egress.New(egress.Config{Resolver: dns.resolver(), Dial: (&recorder{}).dial})
	for _, host := range []string{"unknown.example", "empty.example"} {
		_, err := guard.DialContext(t.Context(), "tcp", host+":443")
		dnsError := &net.DNSError{}
		require.ErrorAs(t, err, &dnsError, host)
		blocked := &egress.BlockedError{}
		require.NotErrorAs(t, err, &blocked, host)
	}

	hangs := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	guard = egress.New(egress.Config{Dial: hangs, DialTimeout: time.Millisecond})
	_, err := guard.DialContext(t.Context(), "tcp", "93.184.216.34:443")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

// TestADestinationIsPaused: a refusal is known as one where deliveries are sent.
func TestADestinationIsPaused(t *testing.T) {
	t.Parallel()
	client := egress.New(egress.Config{}).Client(time.Minute)
	sender := httpsend.NewSender(destination.Deps{Client: client}, false, 0)
	_, result, done := sender.Do(t.Context(), destination.Mask{}, func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, "https://169.254.169.254/hook", http.NoBody)
	})
	require.True(t, done)
	require.Equal(t, destination.Pause, result.Outcome)
	require.Contains(t, result.Reason, "https://169.254.169.254 is a link-local or metadata address")
}

func TestTransport(t *testing.T) {
	t.Parallel()

	t.Run("RedirectsAreTheAnswer", func(t *testing.T) {
		t.Parallel()
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.URL.Path)
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}))
		t.Cleanup(server.Close)
		client := egress.New(egress.Config{Allow: egress.Loopback()}).Client(time.Minute)
		t.Cleanup(client.CloseIdleConnections)
		status, location, err := get(t, client, server.URL+"/first")
		require.NoError(t, err)
		require.Equal(t, http.StatusTemporaryRedirect, status)
		require.Equal(t, "/elsewhere", location)
		require.Equal(t, []string{"/first"}, asked)
	})

	t.Run("AClientThatFollowsRedirectsIsStillGuarded", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
		t.Cleanup(server.Close)
		client := &http.Client{Transport: egress.New(egress.Config{Allow: egress.Loopback()}).Transport()}
		t.Cleanup(client.CloseIdleConnections)
		_, _, err := get(t, client, server.URL)
		requireBlocked(t, err, "http://169.254.169.254 is a link-local or metadata address")
	})

	t.Run("EachRequestIsCheckedAlsoOnAnOpenConnection", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewTLSServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		transport := egress.New(egress.Config{Allow: targets(t, "127.0.0.0/8")}).Transport()
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
		client := &http.Client{Transport: transport}
		t.Cleanup(client.CloseIdleConnections)
		_, _, err := get(t, client, server.URL)
		require.NoError(t, err)
		withUser, err := url.Parse(server.URL)
		require.NoError(t, err)
		withUser.User = url.UserPassword("ada", "s3cret")
		_, _, err = get(t, client, withUser.String())
		requireBlocked(t, err, "holds a user name or password")
	})

	t.Run("AProxyOfTheEnvironmentIsNotUsed", func(t *testing.T) {
		t.Parallel()
		proxy, err := egress.New(egress.Config{}).Transport().Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "app.example.com"}})
		require.NoError(t, err)
		require.Nil(t, proxy)
	})

	t.Run("LongHeadersAreRefused", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 200 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
			}
		}))
		t.Cleanup(server.Close)
		client := egress.New(egress.Config{Allow: egress.Loopback()}).Client(time.Minute)
		t.Cleanup(client.CloseIdleConnections)
		_, _, err := get(t, client, server.URL)
		require.ErrorContains(t, err, "headers")
	})

	t.Run("ServersBelowTLS12AreRefused", func(t *testing.T) {
		t.Parallel()
		require.EqualValues(t, 0x0303, egress.New(egress.Config{}).Transport().TLSClientConfig.MinVersion)
	})
}

// A webhook whose name leads to a public address when it is checked, and to this machine
// later, is never delivered to this machine.
func TestWebhookFollowsNoRebinding(t *testing.T) {
	t.Parallel()
	dns := newDNS(t, map[string][][]netip.Addr{"hooks.example": {addrs("93.184.216.34"), addrs("127.0.0.1"), addrs("::1", "127.0.0.1")}})
	dialer := &recorder{}
	guard := egress.New(egress.Config{Resolver: dns.resolver(), Dial: dialer.dial})
	name, secret, _ := webhook.Type{}.NewSecret()
	d, err := webhook.Type{}.New(destination.Config{
		Options: json.RawMessage(`{"url": "https://hooks.example/"}`), Secrets: destination.Secrets{Values: map[string]string{name: secret}},
	}, destination.Deps{Client: guard.Client(0), CheckURL: guard.CheckURL})
	require.NoError(t, err)
	for attempt := 1; attempt <= 3; attempt++ {
		result := d.Send(t.Context(), []destination.Message{{
			ID: "msg_1", RecordType: record.User, RecordID: "u1", EventType: destination.UserCreated, Row: json.RawMessage(`{"id": "u1"}`), Attempt: attempt,
		}})[0]
		if attempt == 1 {
			require.Equal(t, destination.Retry, result.Outcome, "nobody is there")
			continue
		}
		require.Equal(t, destination.Pause, result.Outcome, "a person is told")
		require.Contains(t, result.Reason, "loopback address")
	}
	require.Equal(t, 3, dns.questions("hooks.example"))
	require.Equal(t, []string{"93.184.216.34:443"}, dialer.all())
}
