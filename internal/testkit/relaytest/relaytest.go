// Package relaytest stands in for Svix's relay. Only tests import it.
package relaytest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Relay is a stand-in for Svix's relay. It accepts all listeners, or refuses them.
type Relay struct {
	URL string
	// Refuse is closed by a test in which every token is in use.
	Refuse chan struct{}
	// Started has the first frame of each connection, Got those that follow.
	Started, Got chan map[string]any
	// Send has a listener sent a frame, Drop has its connection break.
	Send chan string
	Drop chan struct{}
}

// New starts a relay, which ends with the test.
func New(tb testing.TB) *Relay {
	tb.Helper()
	r := &Relay{
		Refuse: make(chan struct{}), Started: make(chan map[string]any, 100), Send: make(chan string), Got: make(chan map[string]any, 100), Drop: make(chan struct{}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, err := websocket.Accept(w, req, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow() //nolint:errcheck // it is closed
		conn.SetReadLimit(4 << 20)
		r.serve(req.Context(), conn)
	}))
	tb.Cleanup(server.Close)
	r.URL = "ws" + strings.TrimPrefix(server.URL, "http")
	return r
}

func (r *Relay) serve(ctx context.Context, conn *websocket.Conn) {
	read := func() map[string]any {
		_, text, err := conn.Read(ctx)
		var frame map[string]any
		if err != nil || json.Unmarshal(text, &frame) != nil {
			return nil
		}
		return frame
	}
	start := read()
	r.Started <- start
	select {
	case <-r.Refuse:
		conn.Close(websocket.StatusPolicyViolation, "token in use") //nolint:gosec // the test sees it
		return
	default:
	}
	_ = conn.Write(ctx, websocket.MessageBinary, []byte(`{"type":"start","data":{"token":"c_0123456789"}}`))
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for frame := read(); frame != nil; frame = read() {
			r.Got <- frame
		}
	}()
	for {
		select {
		case text := <-r.Send:
			_ = conn.Write(ctx, websocket.MessageText, []byte(text))
		case <-r.Drop:
			conn.CloseNow() //nolint:errcheck,gosec // that is what is meant
			<-reading
			return
		case <-reading:
			return
		}
	}
}
