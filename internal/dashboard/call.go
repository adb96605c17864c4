package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// API answers calls of the management API as if they showed a key; see api.API.ServeAs. The pages are made of such
// calls, so that scope, checks, limits and errors are those of the API.
type API interface {
	ServeAs(w http.ResponseWriter, r *http.Request, key project.Key)
}

// problemError is a problem that the API answered with.
type problemError struct {
	Status int             `json:"status"`
	Code   string          `json:"code"`
	Detail string          `json:"detail"`
	Errors []problem.Field `json:"errors"`

	retryAfter string
}

func (p *problemError) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// get makes a call. The segments of its path are escaped. An error is a *problemError, unless the answer is not JSON.
func get[T any](v *visit, query url.Values, segments ...string) (document T, err error) {
	call := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{}, Host: v.Host, TLS: v.TLS, Proto: v.Proto, RemoteAddr: v.RemoteAddr,
		Header: http.Header{}, Body: http.NoBody,
	}).WithContext(v.Context())
	if scheme := v.Header.Get("X-Forwarded-Proto"); scheme != "" { // it is part of webhook URLs
		call.Header.Set("X-Forwarded-Proto", scheme)
	}
	if call.URL, err = url.Parse(pathOf(segments...)); err != nil {
		return document, fmt.Errorf("call the API: %w", err)
	}
	call.URL.RawQuery = query.Encode()
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	v.api.ServeAs(answer, call, v.key)
	if answer.status >= http.StatusBadRequest {
		refused := &problemError{retryAfter: answer.header.Get("Retry-After")}
		if err := json.Unmarshal(answer.body.Bytes(), refused); err != nil {
			return document, fmt.Errorf("read a problem of the API: %w", err)
		}
		return document, refused
	}
	if err := json.Unmarshal(answer.body.Bytes(), &document); err != nil {
		return document, fmt.Errorf("read an answer of the API: %w", err)
	}
	return document, nil
}

// pathOf makes a path of segments, which may be any text.
func pathOf(segments ...string) string {
	var path strings.Builder
	for _, segment := range segments {
		path.WriteString("/" + url.PathEscape(segment))
	}
	return path.String()
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
