package dashboard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// API answers calls of the management API as if they showed a key; see api.API.ServeAs. The pages are made of such
// calls, and forms make such calls, so that scope, checks, limits and errors are those of the API.
type API interface {
	ServeAs(w http.ResponseWriter, r *http.Request, key project.Key)
}

// problemError is a problem that the API answered with, or one that the pages find.
type problemError struct{ problem.Document }

// problemOf is a problem of the pages themselves.
func problemOf(status int, detail string) *problemError {
	return &problemError{problem.Document{Status: status, Detail: detail}}
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

// ask makes a call with a body that changes nothing: its answer is not kept, as that to a form that works once is.
func ask[T any](v *visit, body any, segments ...string) (document T, err error) {
	asking := *v
	asking.form = nil
	return send[T](&asking, http.MethodPost, body, segments...)
}

// once is the field of a form with a random text, by which a form that is sent twice does its work once.
const once = "once"

// atWorkPause and maxAtWork are how long a form waits for the answer to itself, if it was sent twice.
const (
	atWorkPause = 200 * time.Millisecond
	maxAtWork   = 20 * time.Second
)

// call makes a call. If the form that makes it was sent before and is at work, as after a double click, it waits for the
// answer, because the browser shows this one and drops the other.
func (v *visit) call(method string, query url.Values, body any, segments []string) (*recorder, error) {
	call, text, err := v.request(method, query, body, segments)
	if err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	for begun := time.Now(); ; {
		answer, err := v.answer(call, text)
		refused, _ := errors.AsType[*problemError](err)
		switch {
		case refused == nil:
			return answer, err
		case refused.Code == effectUnknown:
			refused.Detail = "It is not known whether this was done: the server stopped, or lost its database, meanwhile. Look first, and send the form again only if it was not."
			return nil, err
		case refused.Code != atWork:
			return nil, err
		case time.Since(begun) > maxAtWork:
			refused.Detail = "This form was sent before, and is at work. Look in a moment at what it has done."
			return nil, err
		}
		select {
		case <-v.Context().Done():
			return nil, err
		case <-time.After(atWorkPause):
		}
	}
}

// Codes of calls that the same form has made before.
const (
	atWork        = "idempotency_key_in_use"
	effectUnknown = "idempotency_outcome_unknown"
)

// mayBeDone says that the effect of a form is not known, so that it is not shown again to be sent once more.
func (p *problemError) mayBeDone() bool {
	return p.Code == atWork || p.Code == effectUnknown
}

// request makes a request to the API and its body; nil is none.
func (v *visit) request(method string, query url.Values, body any, segments []string) (call *http.Request, text []byte, err error) {
	// The scheme and the host are part of webhook URLs.
	call = (&http.Request{Method: method, Host: v.Host, TLS: v.TLS, RemoteAddr: v.RemoteAddr, Header: http.Header{}}).WithContext(v.Context())
	// The last two are for the audit log.
	for _, name := range []string{"X-Forwarded-Proto", "X-Forwarded-For", "User-Agent"} {
		if values := v.Header.Values(name); len(values) > 0 {
			call.Header[name] = values
		}
	}
	if call.URL, err = url.Parse(pathOf(segments...)); err != nil {
		return nil, nil, err
	}
	call.URL.RawQuery = query.Encode()
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return nil, nil, err
		}
		call.ContentLength = int64(len(text))
		call.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost && v.form.Get(once) != "" {
		// What was entered is part of it, so that a form that is corrected and sent again is another one.
		sum := sha256.Sum256([]byte(v.form.Encode()))
		call.Header.Set("Idempotency-Key", hex.EncodeToString(sum[:]))
	}
	return call, text, nil
}

// answer gives the API a request.
func (v *visit) answer(call *http.Request, body []byte) (*recorder, error) {
	call.Body = io.NopCloser(bytes.NewReader(body))
	answer := &recorder{header: http.Header{}, status: http.StatusOK}
	v.api.ServeAs(answer, call, v.key)
	if answer.status < http.StatusBadRequest {
		return answer, nil
	}
	return nil, &problemError{problem.Read(answer.status, answer.header, answer.body.Bytes())}
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
