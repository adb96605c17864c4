// Package svixrelay receives webhooks through Svix's relay, which is how Clerk's development webhooks
// reach a machine without a public address. The relay gives an inbox a public URL; whoever listens
// with the inbox's token is sent its requests, and what it answers is what the sender sees.
//
//	Clerk ──▶ https://webhooks.clerk.com/in/TOKEN/ ──▶ relay ══ WebSocket ══▶ Listen ──▶ Deliver
//	      ◀──────────────── status, headers, body ◀──────────────────────────────────────┘
//
// Wire facts: the sources of Svix's own command (svix-cli 1.x, "svix listen") and of Clerk's ("clerk
// webhooks listen"). The relay keeps nothing: what is sent while nobody listens fails, and Svix sends
// it again later.
package svixrelay

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/pause"
)

const (
	// Address is the relay's.
	Address = "wss://api.relay.svix.com/api/v1/listen/"
	// maxFrame is the maximum length of a frame: a body of 1 MiB in base64, and its headers.
	maxFrame = 2 << 20
	// maxInFlight is how many requests are delivered at the same time.
	maxInFlight = 8
	// dialTimeout limits connecting and the relay's first answer, writeTimeout a frame.
	dialTimeout  = 20 * time.Second
	writeTimeout = 10 * time.Second
	// pingEvery is the interval of pings, so that a connection that died with a laptop's sleep is
	// noticed within a minute. pongTimeout is how long an answer may take: nothing is read while
	// maxInFlight requests are being delivered.
	pingEvery   = 20 * time.Second
	pongTimeout = 20 * time.Second
	// firstPause and longestPause are the pauses between connections.
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	// patience is how long a token may be in use elsewhere: the relay takes a while to notice that a
	// connection of ours has died.
	patience = time.Minute
)

// ErrInUse reports that another listener has the token.
var ErrInUse = errors.New("another listener has this inbox")

// NewToken returns the token of a new inbox: c_ and 10 random characters.
func NewToken() string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var token strings.Builder
	token.WriteString("c_")
	for range 10 {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		token.WriteByte(alphabet[n.Int64()])
	}
	return token.String()
}

// IsToken reports whether a text is the token of an inbox.
func IsToken(text string) bool { return regexp.MustCompile(`^c_[0-9A-Za-z]{10}$`).MatchString(text) }

// InboxURL is the URL that Clerk is to send to.
func InboxURL(token string) string { return inboxes + token + "/" }

const inboxes = "https://webhooks.clerk.com/in/"

// TokenOf is the token in the URL of an inbox.
func TokenOf(inboxURL string) (token string, is bool) {
	token = strings.TrimSuffix(strings.TrimPrefix(inboxURL, inboxes), "/")
	return token, IsToken(token) && inboxURL == InboxURL(token)
}

// Request is a request to the inbox.
type Request struct {
	Method string
	Header http.Header
	Body   []byte
}

// Response is what the sender is answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Config configures Listen. Token and Deliver are required.
type Config struct {
	Token string
	// Deliver passes a request on. It is called for several at the same time, and need not return
	// before ctx ends.
	Deliver func(ctx context.Context, r Request) Response
	// Connected is called with each connection that the relay has accepted; Lost when one has ended,
	// or could not be made, with the pause until the next. Both may be nil.
	Connected func()
	Lost      func(err error, pause time.Duration)
	// URL is the relay's address; empty: Address.
	URL string
	// Client dials; nil means http.DefaultClient.
	Client *http.Client
	// Now and Sleep are the clock; nil means the real one.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// Listen passes requests on until ctx ends, over as many connections as that takes, and returns its
// error; or ErrInUse, wrapped, if another listener has kept the token for a minute.
func Listen(ctx context.Context, c Config) error {
	c.URL = cmp.Or(c.URL, Address)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = pause.For
	}
	next := firstPause
	var inUseSince time.Time
	for {
		accepted, err := c.once(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case accepted:
			next, inUseSince = firstPause, time.Time{}
		case !errors.Is(err, ErrInUse):
		case inUseSince.IsZero():
			inUseSince = c.Now()
		case c.Now().Sub(inUseSince) >= patience:
			return err
		}
		if c.Lost != nil {
			c.Lost(err, next)
		}
		if err := c.Sleep(ctx, next); err != nil {
			return err
		}
		next = min(2*next, longestPause)
	}
}

// once holds one connection. accepted reports that the relay took the token.
func (c *Config) once(ctx context.Context) (accepted bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, c.URL, &websocket.DialOptions{HTTPClient: c.Client}) //nolint:bodyclose // the package's: it is part of the connection
	if err != nil {
		return false, fmt.Errorf("reach the relay: %w", err)
	}
	defer conn.CloseNow() //nolint:errcheck // it is closed, or broken
	conn.SetReadLimit(maxFrame)
	if err := start(dialing, conn, c.Token); err != nil {
		return false, explain(err)
	}
	if c.Connected != nil {
		c.Connected()
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(maxInFlight + 2)
	group.Go(func() error { return keepAlive(running, conn) })
	group.Go(func() error { return c.read(running, conn, group) })
	return true, explain(group.Wait())
}

// start shows the relay the token, and waits until it is accepted.
func start(ctx context.Context, conn *websocket.Conn, token string) error {
	if err := write(ctx, conn, frame{Type: "start", Version: 1, Data: data{Token: token}}); err != nil {
		return err
	}
	_, text, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	var answer frame
	if json.Unmarshal(text, &answer) != nil || answer.Type != "start" {
		return errors.New("the relay does not answer as Svix's does")
	}
	return nil
}

// read takes requests and has each delivered.
func (c *Config) read(ctx context.Context, conn *websocket.Conn, group *errgroup.Group) error {
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var f frame
		if json.Unmarshal(text, &f) != nil || f.Type != "event" || f.Data.ID == "" {
			continue // of a later version
		}
		group.Go(func() error { return c.deliver(ctx, conn, f.Data) })
	}
}

// deliver passes a request on and answers it.
func (c *Config) deliver(ctx context.Context, conn *websocket.Conn, d data) error {
	header := make(http.Header, len(d.Headers))
	for name, value := range d.Headers {
		if !ofTheConnection(name) {
			header.Set(name, value)
		}
	}
	response := c.Deliver(ctx, Request{Method: cmp.Or(d.Method, http.MethodPost), Header: header, Body: d.Body})
	answer := data{ID: d.ID, Status: response.Status, Headers: map[string]string{}, Body: response.Body}
	for name := range response.Header {
		answer.Headers[strings.ToLower(name)] = response.Header.Get(name)
	}
	return write(ctx, conn, frame{Type: "event", Version: 1, Data: answer})
}

// ofTheConnection reports whether a header was about the sender's connection to the inbox.
func ofTheConnection(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "accept-encoding":
		return true
	default:
		return false
	}
}

// keepAlive notices a connection that has died.
func keepAlive(ctx context.Context, conn *websocket.Conn) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		waiting, cancel := context.WithTimeout(ctx, pongTimeout)
		err := conn.Ping(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("the relay does not answer: %w", err)
		}
	}
}

// frame is what both sides send.
type frame struct {
	Type    string `json:"type"` // start, event
	Version int    `json:"version"`
	Data    data   `json:"data"`
}

type data struct {
	Token   string            `json:"token,omitempty"`
	ID      string            `json:"id,omitempty"`
	Method  string            `json:"method,omitempty"`
	Status  int               `json:"status,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    []byte            `json:"body"` // in base64
}

func write(ctx context.Context, conn *websocket.Conn, f frame) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write to the relay: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// explain translates the close code of a token that is in use.
func explain(err error) error {
	if websocket.CloseStatus(err) == websocket.StatusPolicyViolation {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return err
}
