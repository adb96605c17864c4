package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// event is the body; see its JSON Schema in docs/events.
type event struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// data is what the body has beside the record, which stands first, under the name of its type.
type data struct {
	// Before holds the changed columns before the change; nil for a new record.
	Before    map[string]json.RawMessage `json:"before"`
	Changed   []string                   `json:"changed"`
	ChangeID  int64                      `json:"change_id"`
	ProjectID uuid.UUID                  `json:"project_id"`
	Provider  string                     `json:"provider"`
	Test      bool                       `json:"test,omitempty"`
}

// body returns the body; nil means there is nothing to send. The error may be shown.
func (w *webhook) body(ctx context.Context, m destination.Message) (json.RawMessage, error) {
	body, err := w.shape(ctx, m)
	if err == nil && len(body) > httpsend.MaxBody {
		return nil, fault.Newf(fault.Invalid, "the body has %d bytes, and at most %d are sent: choose what is needed with options.payload", len(body), httpsend.MaxBody)
	}
	return body, err
}

func (w *webhook) shape(ctx context.Context, m destination.Message) (json.RawMessage, error) {
	if w.payload == nil {
		return defaultBody(m)
	}
	input, err := destination.Input(m)
	if err != nil {
		return nil, err
	}
	value, ok, err := w.payload.One(ctx, jq.Of(input))
	if err != nil {
		return nil, destination.ExpressionError(err, err.Error())
	}
	if !ok || value == nil {
		return nil, nil
	}
	body, err := w.payload.Marshal(value)
	if err != nil {
		return nil, destination.ExpressionError(err, err.Error())
	}
	return body, nil
}

func defaultBody(m destination.Message) (json.RawMessage, error) {
	before, err := pick(m.Before, m.Changed)
	if err != nil {
		return nil, err
	}
	changed := m.Changed
	if changed == nil {
		changed = []string{}
	}
	rest, err := encode(data{Before: before, Changed: changed, ChangeID: m.ChangeID, ProjectID: m.ProjectID, Provider: m.Provider, Test: m.Test})
	if err != nil {
		return nil, fmt.Errorf("write the body of %s: %w", m.ID, err)
	}
	row := m.Row
	if row == nil {
		row = json.RawMessage("null")
	}
	all := slices.Concat([]byte(`{"`+string(m.RecordType)+`":`), row, []byte(`,`), bytes.TrimPrefix(rest, []byte(`{`)))
	body, err := encode(event{Type: m.EventType, Timestamp: m.EventAt.UTC(), Data: all})
	if err != nil {
		return nil, fmt.Errorf("write the body of %s: %w", m.ID, err)
	}
	return body, nil
}

func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// pick returns the changed columns of a row; nil if there is no row.
func pick(row json.RawMessage, columns []string) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if len(row) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(row, &all); err != nil {
		return nil, fmt.Errorf("read the record as it was: %w", err)
	}
	if all == nil {
		return nil, nil
	}
	picked := make(map[string]json.RawMessage, len(columns))
	for _, column := range columns {
		if value, is := all[column]; is {
			picked[column] = value
		}
	}
	return picked, nil
}

// request builds and signs a request; its timestamp is that of the attempt.
func (w *webhook) request(ctx context.Context, m destination.Message, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.options.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	header, err := w.sign(m.ID, body)
	if err != nil {
		return nil, err
	}
	w.setHeaders(request.Header, m)
	maps.Copy(request.Header, header)
	w.addSvixHeaders(request.Header)
	return request, nil
}

// addSvixHeaders repeats the three signature headers under Svix's names, if the options ask for it. The
// signature is the same: both sign id, timestamp and body.
func (w *webhook) addSvixHeaders(h http.Header) {
	if !w.options.SvixHeaders {
		return
	}
	for _, name := range []string{"-Id", "-Timestamp", "-Signature"} {
		h.Set(string(standardwebhooks.Svix)+name, h.Get(string(standardwebhooks.Standard)+name))
	}
}

func (w *webhook) setHeaders(h http.Header, m destination.Message) {
	for name, value := range w.options.Headers {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", httpsend.UserAgent)
	if m.Test {
		h.Set(destination.TestHeader, "true")
	}
}

// sign adds one signature per valid secret, so that the receiver can switch secrets at any time during a
// rotation.
func (w *webhook) sign(id string, body []byte) (http.Header, error) {
	now := w.now()
	var (
		header     http.Header
		signatures []string
		name       = string(standardwebhooks.Standard) + "-Signature"
	)
	for _, k := range w.keys {
		if !k.until.IsZero() && !now.Before(k.until) {
			continue
		}
		signed, err := standardwebhooks.Sign(k.key, standardwebhooks.Standard, id, now, body)
		if err != nil {
			return nil, err
		}
		header = signed
		signatures = append(signatures, signed.Get(name))
	}
	header.Set(name, strings.Join(signatures, " "))
	return header, nil
}

// Preview returns the request for a message without its signature, which would allow anyone to send it.
func (w *webhook) Preview(ctx context.Context, m destination.Message) ([]destination.Request, error) {
	body, err := w.body(ctx, m)
	if err != nil || body == nil {
		return nil, err
	}
	h := http.Header{}
	w.setHeaders(h, m)
	h.Set("Webhook-Id", m.ID)
	h.Set("Webhook-Timestamp", "the time of the attempt")
	h.Set("Webhook-Signature", destination.Masked)
	w.addSvixHeaders(h)
	return []destination.Request{{Method: http.MethodPost, URL: w.options.URL, Header: h, Body: body}}, nil
}
