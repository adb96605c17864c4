package relaytest

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// Inbox starts the relay's public side, which ends with the test, and returns its URL: what is posted to it is sent to the listener,
// whose answer is the answer. It receives all of Got.
func (r *Relay) Inbox(tb testing.TB) string {
	tb.Helper()
	var one sync.Mutex // message at a time
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		headers := map[string]string{}
		for name := range req.Header {
			headers[name] = req.Header.Get(name)
		}
		one.Lock()
		defer one.Unlock()
		sent++
		id := strconv.Itoa(sent)
		text, err := json.Marshal(map[string]any{"type": "event", "version": 1, "data": map[string]any{
			"id": id, "method": req.Method, "headers": headers, "body": base64.StdEncoding.EncodeToString(body),
		}})
		if err != nil {
			return
		}
		select {
		case r.Send <- string(text):
		default: // nobody listens
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		for {
			select {
			case frame := <-r.Got:
				data, _ := frame["data"].(map[string]any)
				if status, is := data["status"].(float64); is && data["id"] == id {
					w.WriteHeader(int(status))
					return
				}
			case <-req.Context().Done():
				return
			}
		}
	}))
	tb.Cleanup(server.Close)
	return server.URL
}
