package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/authsync/authsync/internal/config"
)

// apiPrefix is the base of the server's own paths.
const apiPrefix = "/api/capydb/v1"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// client talks to the server's management API.
type client struct {
	http *http.Client
	url  string
	key  config.Secret
}

func (s *session) client() (*client, error) {
	url, key, err := s.server()
	if err != nil {
		return nil, err
	}
	return newClient(url, key), nil
}

func newClient(url string, key config.Secret) *client {
	return &client{
		http: &http.Client{
			Timeout:       2 * time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		url: url, key: key,
	}
}

// refusedError is an answer other than 2xx.
type refusedError struct {
	Status int
	Title  string
	Detail string
}

func (e *refusedError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answers %d %s", e.Status, e.Title)
	}
	return e.Detail
}

// do makes a call; in and out may be nil. A refusal is a *refusedError.
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+apiPrefix+path, body)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.send(req)
	if err != nil {
		return err
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w: is it an authsync server?", c.url, err)
	}
	return nil
}

// send sends a request and returns the body of a 2xx answer.
func (c *client) send(req *http.Request) ([]byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(c.url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.url, err)
	}
	if resp.StatusCode/100 != 2 {
		refused := &refusedError{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			// What cannot be read leaves the status, which is enough.
			_ = json.Unmarshal(body, refused)
		}
		return nil, refused
	}
	return body, nil
}

func unreachable(url string, err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing answers at %s: start it with authsync dev or authsync serve, or set AUTHSYNC_URL", url)
	}
	return fmt.Errorf("reach the server: %w", err)
}
