package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// API answers calls of the management API as if they showed a key; see api.API.ServeAs. The pages are made of such
// calls, and forms make such calls, so that scope, checks, limits and errors are those of the API.
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

// get reads a document. The segments of its path are escaped. An error is a *problemError, unless the answer is not JSON.
func get[T any](v *visit, query url.Values, segments ...string) (document T, err error) {
	answer, err := v.call(http.MethodGet, query, nil, segments)
	if err != nil {
		return document, err
	}
	return document, answer.read(&document)
}

// send makes a call with a body that changes something; a nil body is none. The answer may have no document.
func send[T any](v *visit, method string, body any, segments ...string) (document T, err error) {
	answer, err := v.call(method, nil, body, segments)
	if err != nil || answer.status == http.StatusNoContent {
		return document, err
	}
	return document, answer.read(&document)
}

// once is the field of a form with a random text, by which a form that is sent twice does its work once.
const once = "once"

func (v *visit) call(method string, query url.Values, body any, segments []string) (*recorder, error) {
	// The scheme and the host are part of webhook URLs.
	call := (&http.Request{Method: method, Host: v.Host, TLS: v.TLS, Header: http.Header{}, Body: http.NoBody}).WithContext(v.Context())
	if scheme := v.Header.Get("X-Forwarded-Proto"); scheme != "" {
		call.Header.Set("X-Forwarded-Proto", scheme)
	}
	var err error
	if call.URL, err = url.Parse(pathOf(segments...)); err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	call.URL.RawQuery = query.Encode()
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("call the API: %w", err)
		}
		call.Body, call.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		call.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost && v.form.Get(once) != "" {
		// What was entered is part of it, so that a form that is corrected and sent again is another one.
		sum := sha256.Sum256([]byte(v.form.Encode()))
		call.Header.Set("Idempotency-Key", hex.EncodeToString(sum[:]))
	}
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	v.api.ServeAs(answer, call, v.key)
	if answer.status < http.StatusBadRequest {
		return answer, nil
	}
	refused := &problemError{retryAfter: answer.header.Get("Retry-After")}
	if err := json.Unmarshal(answer.body.Bytes(), refused); err != nil {
		return nil, fmt.Errorf("read a problem of the API: %w", err)
	}
	return nil, refused
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

func (r *recorder) read(document any) error {
	if err := json.Unmarshal(r.body.Bytes(), document); err != nil {
		return fmt.Errorf("read an answer of the API: %w", err)
	}
	return nil
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
