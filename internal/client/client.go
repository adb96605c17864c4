// Package client speaks the HTTP of an authsync server from outside: the
// management API with a key, and the webhook receiver as a provider would. On
// the road of a webhook it stands at the very start, in a provider's place: the
// commands, the dev server's samples and the tests send through it.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/problem"
)

// Prefix is the base of the server's own paths.
const Prefix = "/api/capydb/v1"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	http *http.Client
	url  string
	key  config.Secret
}

// New makes a client of the server at a base URL. Without a key it can only
// send webhooks.
func New(base string, key config.Secret) *Client {
	return &Client{
		http: &http.Client{
			Timeout: 2 * time.Minute,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				MaxIdleConnsPerHost: 64,
				IdleConnTimeout:     time.Minute,
			},
			// A redirect would carry the key elsewhere, or turn a POST into a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url: base, key: key,
	}
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is the base URL of the server.
func (c *Client) URL() string { return c.url }

// RefusedError is an answer other than 2xx. Its text is the server's message
// about it, which is fit for a person.
type RefusedError struct {
	problem.Document
	// elsewhere is what to do about an answer that is hardly authsync's.
	elsewhere string
}

func (e *RefusedError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answers %d %s%s", e.Status, e.Title, e.elsewhere)
	}
	if id := e.RequestID(); id != "" && e.Status == http.StatusInternalServerError {
		return fmt.Sprintf("%s: request %s (%d)", e.Detail, id, e.Status)
	}
	return fmt.Sprintf("%s (%d)", e.Detail, e.Status)
}

// Status is the HTTP status of a refusal, 0 for any other error.
func Status(err error) int {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.Status
	}
	return 0
}

// Do makes a call of the management API; path begins behind Prefix, in and out
// may be nil. A refusal is a *RefusedError.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	header := http.Header{"Authorization": {"Bearer " + c.key.Reveal()}, "Accept": {"application/json"}}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		header.Set("Content-Type", "application/json")
	}
	answer, err := c.send(ctx, method, c.url+Prefix+path, header, body)
	if err != nil || out == nil || len(answer) == 0 {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w: is that an authsync server?", c.url, err)
	}
	return nil
}

// WebhookURL is where a provider's webhooks for a project go.
func (c *Client) WebhookURL(provider, projectID string) string {
	return c.url + Prefix + "/integrations/" + strings.ReplaceAll(provider, "_", "-") + "/webhook/" + projectID
}

// Deliver posts a signed webhook. It returns nil once the delivery is durable,
// else a *RefusedError or an error of the connection.
func (c *Client) Deliver(ctx context.Context, provider, projectID string, header http.Header, body []byte) error {
	_, err := c.send(ctx, http.MethodPost, c.WebhookURL(provider, projectID), header, body)
	return err
}

func (c *Client) send(ctx context.Context, method, address string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header = header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.url, err)
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	return nil, &RefusedError{problem.Read(resp.StatusCode, resp.Header, answer), c.otherThan(resp)}
}

// otherThan is what to do about an answer that is no problem document: it comes from a proxy, or from
// something other than an authsync server.
func (c *Client) otherThan(resp *http.Response) string {
	switch to, err := resp.Location(); {
	case err == nil:
		to.Path, _, _ = strings.Cut(to.Path, Prefix)
		to.RawQuery, to.Fragment, to.User = "", "", nil
		return fmt.Sprintf(", to %s: set AUTHSYNC_URL to where it leads", strings.TrimSuffix(to.String(), "/"))
	case resp.StatusCode == http.StatusBadRequest && strings.HasPrefix(c.url, "http://"):
		return ": if it takes HTTPS, write https:// in AUTHSYNC_URL"
	case resp.StatusCode/100 == 4:
		return ": is an authsync server at AUTHSYNC_URL?"
	default:
		return ""
	}
}

func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing answers at %s: start it with authsync dev or authsync serve, or set AUTHSYNC_URL: %w", c.url, syscall.ECONNREFUSED)
	}
	const check = "check AUTHSYNC_URL"
	_, isTLS := errors.AsType[tls.RecordHeaderError](err)
	verification, isVerification := errors.AsType[*tls.CertificateVerificationError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case isTLS || strings.Contains(err.Error(), plainAnswer):
		return fmt.Errorf("%s does not speak TLS: write http:// in AUTHSYNC_URL, or put a proxy with a certificate before it", c.url)
	case isVerification:
		return fmt.Errorf("the certificate of %s is refused: %w: %s, or have this machine trust the authority that signed it", c.url, verification.Err, check)
	case isDNS && dns.IsNotFound:
		return fmt.Errorf("DNS knows no host of the name %q: %s", dns.Name, check)
	case isDNS:
		return fmt.Errorf("DNS does not answer for the host %q: try again, or check the resolver of this machine", dns.Name)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return fmt.Errorf("no route leads to %s: %s and the network between", c.url, check)
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer in time: %s, the network between and the load of the server: %w", c.url, check, context.DeadlineExceeded)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%s closed the connection (%w): it may be starting again; if it stays so, %s", c.url, io.EOF, check)
	}
	if named, ok := errors.AsType[*url.Error](err); ok { // which repeats method and URL
		err = named.Err
	}
	return fmt.Errorf("reach the server at %s: %w", c.url, err)
}

// plainAnswer is the text, which has no type, of net/http for a server that answers a TLS hello in plain HTTP.
const plainAnswer = "server gave HTTP response to HTTPS client"

// Readiness is the state of the server's parts: "ok", or what is wrong.
type Readiness struct {
	Status string            `json:"status"`
	Parts  map[string]string `json:"parts"`
	// LagSeconds is how long the oldest message has waited to be applied; nil: not known.
	LagSeconds *float64 `json:"lag_seconds"`
}

// Ready asks whether the server can do its work. That it cannot is no error.
func (c *Client) Ready(ctx context.Context) (r Readiness, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", http.NoBody)
	if err != nil {
		return r, fmt.Errorf("make the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return r, c.unreachable(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&r); err != nil {
		return r, fmt.Errorf("read the answer of %s: %w: is that an authsync server?", c.url, err)
	}
	return r, nil
}
