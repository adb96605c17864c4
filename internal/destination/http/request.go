package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"mime"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

// request builds the requests for one event type.
type request struct {
	name    string
	method  string
	url     *template
	headers map[string]*template // by canonical name
	body    *jq.Expression       // nil: none
	secret  bool                 // the body uses secrets
}

func (h *api) setRequests(d destination.Deps) error {
	if len(h.options.Requests) == 0 {
		return fault.New(fault.Invalid, `options.requests is missing: give the request for each event type, or one for all, such as {"default": {"method": "POST", "url": "https://api.example.com/users", "body": ".user"}}`)
	}
	h.requests = map[string]*request{}
	for _, eventType := range slices.Sorted(maps.Keys(h.options.Requests)) {
		if _, err := destination.ExpandEventTypes([]string{eventType}); err != nil && eventType != fallback && eventType != destination.UserErased {
			return fault.At("options.requests", "options.requests has %.40q: it takes event types and %s; %s", eventType, fallback, destination.EventTypesHint)
		}
		r, err := h.compile("options.requests."+eventType, h.options.Requests[eventType], d)
		if err != nil {
			return err
		}
		h.requests[eventType] = r
	}
	if name := h.options.IdempotencyHeader; name != nil && *name != "" {
		return httpsend.CheckHeaderName("options.idempotency_header", *name)
	}
	return nil
}

func (h *api) compile(name string, o RequestOptions, d destination.Deps) (*request, error) {
	r := &request{name: name, method: strings.ToUpper(o.Method), headers: map[string]*template{}}
	if r.method == "" {
		r.method = nethttp.MethodPost
	}
	if !slices.Contains(methods(), r.method) {
		return nil, fault.Newf(fault.Invalid, "%s.method is %.20q: there is %s", name, o.Method, strings.Join(methods(), ", "))
	}
	var err error
	if r.url, err = h.compileURL(name+".url", o.URL, d); err != nil {
		return nil, err
	}
	if err := cmp.Or(h.setHeaders(r, "options.headers", h.options.Headers), h.setHeaders(r, name+".headers", o.Headers)); err != nil {
		return nil, err
	}
	if o.Body == "" {
		return r, nil
	}
	if r.method == nethttp.MethodGet {
		return nil, fault.New(fault.Invalid, name+".body: a GET has no body; leave it out, or take another method")
	}
	r.body, r.secret, err = compileExpr(name+".body", o.Body, h.secrets)
	return r, err
}

// splitURL returns the fixed parts of a URL: its scheme, and the host with the port.
func splitURL(source string) (scheme, host string) {
	scheme, host, _ = strings.Cut(source, "://")
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	return scheme, host
}

func (h *api) compileURL(name, source string, d destination.Deps) (*template, error) {
	if source == "" {
		return nil, fault.New(fault.Invalid, name+" is missing: give an address, such as https://api.example.com/v1/users/{{ .user.id }}")
	}
	scheme, host := splitURL(source)
	is := strings.Contains(source, "://")
	if strings.Contains(scheme, open) || strings.Contains(host, open) {
		return nil, fault.New(fault.Invalid, name+" has an expression before its path: scheme, host and port are fixed, because the credentials go there; make one destination a host")
	}
	if !is || (scheme != "https" && scheme != "http") || host == "" || strings.Contains(host, "@") {
		return nil, fault.New(fault.Invalid, name+" is no address: give a whole one without user name and password, such as https://api.example.com/v1/users/{{ .user.id }}")
	}
	t, err := parseTemplate(name, source, h.secrets)
	if err != nil {
		return nil, err
	}
	for _, p := range t.parts {
		if strings.Contains(p.text, "#") {
			return nil, fault.New(fault.Invalid, name+" has a # and what comes after it is never sent: leave it out, or write %23")
		}
	}
	address, constant := t.constant()
	if !constant {
		address = scheme + "://" + host + "/"
	}
	if err := httpsend.CheckURL(name, address); err != nil {
		return nil, err
	}
	if _, err := url.Parse(address); err != nil {
		return nil, fault.New(fault.Invalid, name+" cannot be read as an address: write what is no letter or digit as %XX")
	}
	if d.CheckURL != nil {
		if err := d.CheckURL(address); err != nil {
			return nil, fault.New(fault.Invalid, name+": "+err.Error())
		}
	}
	return t, nil
}

func (h *api) setHeaders(r *request, name string, headers map[string]string) error {
	for header, source := range headers {
		if err := httpsend.CheckHeaderName(name, header, "User-Agent"); err != nil {
			return err
		}
		t, err := parseTemplate(name+"."+header, source, h.secrets)
		if err != nil {
			return err
		}
		if text, constant := t.constant(); constant {
			if err := httpsend.CheckHeaderValue(name, header, text); err != nil {
				return err
			}
		}
		r.headers[nethttp.CanonicalHeaderKey(header)] = t
	}
	return nil
}

// ready is a request that can be sent or shown.
type ready struct {
	method, url string
	header      nethttp.Header
	body        []byte // nil: none
	isJSON      bool
	mask        destination.Mask
	open        openly
}

// openly is what of a request is shown in place of what was made of secrets.
type openly struct {
	url     string
	headers map[string]string // those whose templates use secrets
	// isSecret is set if the body uses secrets; body is what it is without them, nil if it cannot be made without.
	isSecret bool
	body     []byte
}

// prepare builds the request for a message. skip is why there is none. It returns a fault.Invalid.
func (h *api) prepare(ctx context.Context, m destination.Message, secrets map[string]any) (q *ready, skip string, err error) {
	r := cmp.Or(h.requests[m.EventType], h.requests[destination.AllOf(m.RecordType)], h.requests[fallback])
	if m.EventType == destination.UserErased { // a request for changes would write empty values, or make the user anew
		r = cmp.Or(h.requests[m.EventType], h.requests[destination.UserDeleted])
	}
	if r == nil {
		return nil, "nothing to do for " + m.EventType, nil
	}
	values, err := destination.Input(m)
	if err != nil {
		return nil, "", err
	}
	input := jq.Of(values)
	q = &ready{method: r.method, header: nethttp.Header{}, open: openly{headers: map[string]string{}}}
	address, err := r.address(ctx, input, secrets)
	if err != nil {
		return nil, "", err
	}
	q.url, q.open.url = address.text, address.shown
	more, err := h.fillHeaders(ctx, r, q, m, input, secrets)
	if err != nil {
		return nil, "", err
	}
	inBody, skip, err := h.fillBody(ctx, r, q, input, secrets)
	if err != nil || skip != "" {
		return nil, skip, err
	}
	q.mask = destination.NewMask(slices.Concat(h.hidden, address.derived, more, inBody)...)
	return q, "", nil
}

// address renders the URL. It rejects values that are empty or that leave their place in the path, which would
// address something else: DELETE /users/ instead of /users/7.
func (r *request) address(ctx context.Context, input *jq.Input, secrets map[string]any) (address rendered, err error) {
	address, err = r.url.render(ctx, input, secrets, escapeURL)
	if errors.Is(err, errEmpty) {
		return rendered{}, fault.New(fault.Invalid, r.url.name+` has an expression that gives nothing for this change, and the address would be another one: give it an alternative, such as .user.email // "none", or a condition to the destination`)
	}
	if err != nil {
		return rendered{}, err
	}
	if err := httpsend.CheckURL(r.url.name, address.text); err != nil {
		return rendered{}, err
	}
	u, err := url.Parse(address.text)
	if err != nil {
		return rendered{}, fault.New(fault.Invalid, r.url.name+" gives what is no address")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return rendered{}, fault.New(fault.Invalid, r.url.name+" gives a path with . or .. in it, which would lead elsewhere")
		}
	}
	return address, nil
}

// escapeURL escapes a value for a path or a query.
func escapeURL(value string) string { return strings.ReplaceAll(url.QueryEscape(value), "+", "%20") }

// fillHeaders sets the headers, without those whose expression yields nothing.
func (h *api) fillHeaders(ctx context.Context, r *request, q *ready, m destination.Message, input *jq.Input, secrets map[string]any) (derived []string, err error) {
	if r.body != nil {
		q.header.Set("Content-Type", "application/json")
	}
	q.header.Set("Accept", "application/json")
	q.header.Set("User-Agent", httpsend.UserAgent)
	switch name := h.options.IdempotencyHeader; {
	case name == nil:
		q.header.Set(idempotency, m.ID)
	case *name != "":
		q.header.Set(*name, m.ID)
	}
	for _, name := range slices.Sorted(maps.Keys(r.headers)) {
		t := r.headers[name]
		value, err := t.render(ctx, input, secrets, func(value string) string { return value })
		if errors.Is(err, errEmpty) {
			q.header.Del(name)
			continue
		}
		if err == nil {
			err = httpsend.CheckHeaderValue(t.name, name, value.text)
		}
		if err != nil {
			return nil, err
		}
		q.header.Set(name, value.text)
		if len(value.derived) > 0 {
			derived, q.open.headers[name] = append(derived, value.derived...), value.shown
		}
	}
	if m.Test {
		q.header.Set(destination.TestHeader, "true")
	}
	return derived, nil
}

// fillBody builds the body. derived are its strings computed from secrets.
func (h *api) fillBody(ctx context.Context, r *request, q *ready, input *jq.Input, secrets map[string]any) (derived []string, skip string, err error) {
	if r.body == nil {
		return nil, "", nil
	}
	value, ok, err := runOne(ctx, r.body, r.secret, r.name+".body", input, secrets)
	if err != nil {
		return nil, "", err
	}
	if !ok || value == nil {
		return nil, "nothing to send: the body's expression gives nothing for this change", nil
	}
	if r.secret && !isMasked(secrets) {
		q.open.isSecret = true
		derived = h.withoutSecrets(ctx, r, q, value, input)
	}
	if q.body, q.isJSON, err = h.encode(r, q, value); err != nil {
		return nil, "", err
	}
	if q.body == nil {
		return nil, "nothing to send: no value of the body is set and changed; keep_empty sends empty ones, too", nil
	}
	return derived, "", tooLarge(len(q.body))
}

// encode writes the value of a body, nil if nothing of it is left. A string is sent verbatim if the Content-Type is not JSON, for
// APIs that take forms.
func (h *api) encode(r *request, q *ready, value any) (body []byte, isJSON bool, err error) {
	media, _, _ := mime.ParseMediaType(q.header.Get("Content-Type"))
	isJSON = media == "application/json" || strings.HasSuffix(media, "+json")
	if text, is := value.(string); is && !isJSON {
		return []byte(text), false, nil
	}
	if !h.options.KeepEmpty {
		var ok bool
		if value, ok = destination.DropEmpty(value); !ok {
			return nil, true, nil
		}
	}
	if body, err = r.body.Marshal(value); err != nil {
		return nil, true, destination.ExpressionError(err, err.Error())
	}
	return body, true, nil
}

// withoutSecrets sets the body that is shown, and returns the strings of the value that change when the secrets are masked: all of
// them, if the body cannot be built with masked secrets.
func (h *api) withoutSecrets(ctx context.Context, r *request, q *ready, value any, input *jq.Input) []string {
	all := texts(value)
	plain, ok, err := r.body.One(ctx, input, h.masked)
	if err != nil || !ok {
		return all
	}
	harmless := texts(plain) // before DropEmpty, which may change it
	if body, _, err := h.encode(r, q, plain); err == nil {
		q.open.body = body
	}
	return slices.DeleteFunc(all, func(text string) bool { return slices.Contains(harmless, text) })
}

// texts returns the strings in a value, at any depth.
func texts(value any) (all []string) {
	switch v := value.(type) {
	case string:
		all = append(all, v)
	case map[string]any:
		for _, member := range v {
			all = append(all, texts(member)...)
		}
	case []any:
		for _, element := range v {
			all = append(all, texts(element)...)
		}
	}
	return all
}

func tooLarge(size int) error {
	if size <= httpsend.MaxBody {
		return nil
	}
	return fault.Newf(fault.Invalid, "the body has %d bytes, and at most %d are sent: choose what is needed", size, httpsend.MaxBody)
}

// build returns the request to send.
func (q *ready) build(ctx context.Context) (*nethttp.Request, error) {
	request, err := nethttp.NewRequestWithContext(ctx, q.method, q.url, bytes.NewReader(q.body))
	if err != nil {
		return nil, errors.New("the address cannot be used")
	}
	request.Header = q.header
	return request, nil
}

// conceal takes what was made of secrets out of what is kept of the request.
func (q *ready) conceal(exchanges []destination.Exchange) {
	for i := range exchanges {
		e := &exchanges[i]
		e.URL = q.mask.URL(q.open.url)
		for name, shown := range q.open.headers {
			if e.Header.Get(name) != "" {
				e.Header.Set(name, q.mask.Header(name, shown))
			}
		}
		if !q.open.isSecret {
			continue
		}
		e.Note = "the body uses secrets, and is shown as its expression gives it with *** in their place"
		if e.Body, e.BodyCut = q.mask.Excerpt(q.open.body[:min(len(q.open.body), q.mask.ReadAhead())]); len(q.open.body) == 0 {
			e.Note = "the body uses secrets, and cannot be shown: its expression gives nothing without them"
		}
	}
}

// shown returns the request for a preview.
func (q *ready) shown() destination.Request {
	shown := destination.Request{Method: q.method, URL: q.url, Header: q.header, Body: q.body}
	if q.body != nil && !q.isJSON {
		if text, err := json.Marshal(string(q.body)); err == nil { // a string always marshals
			shown.Body = text
		}
	}
	return shown
}
