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
	q = &ready{method: r.method, header: nethttp.Header{}}
	address, derived, err := r.address(ctx, input, secrets)
	if err != nil {
		return nil, "", err
	}
	q.url = address
	more, err := h.fillHeaders(ctx, r, q, m, input, secrets)
	if err != nil {
		return nil, "", err
	}
	inBody, skip, err := h.fillBody(ctx, r, q, input, secrets)
	if err != nil || skip != "" {
		return nil, skip, err
	}
	q.mask = destination.NewMask(slices.Concat(h.hidden, derived, more, inBody)...)
	return q, "", nil
}

// address renders the URL. It rejects values that are empty or that leave their place in the path, which would
// address something else: DELETE /users/ instead of /users/7.
func (r *request) address(ctx context.Context, input *jq.Input, secrets map[string]any) (address string, derived []string, err error) {
	address, derived, err = r.url.render(ctx, input, secrets, escapeURL)
	if errors.Is(err, errEmpty) {
		return "", nil, fault.New(fault.Invalid, r.url.name+` has an expression that gives nothing for this change, and the address would be another one: give it an alternative, such as .user.email // "none", or a condition to the destination`)
	}
	if err != nil {
		return "", nil, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, fault.New(fault.Invalid, r.url.name+" gives what is no address")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return "", nil, fault.New(fault.Invalid, r.url.name+" gives a path with . or .. in it, which would lead elsewhere")
		}
	}
	return address, derived, nil
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
		text, made, err := t.render(ctx, input, secrets, func(value string) string { return value })
		if errors.Is(err, errEmpty) {
			q.header.Del(name)
			continue
		}
		if err == nil {
			err = httpsend.CheckHeaderValue(t.name, name, text)
		}
		if err != nil {
			return nil, err
		}
		q.header.Set(name, text)
		derived = append(derived, made...)
	}
	if m.Test {
		q.header.Set(destination.TestHeader, "true")
	}
	return derived, nil
}

// fillBody builds the body. A string is sent verbatim if the Content-Type is not JSON, for APIs that take
// forms. derived are its strings computed from secrets.
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
		derived = h.madeOfSecrets(ctx, r, value, input)
	}
	media, _, _ := mime.ParseMediaType(q.header.Get("Content-Type"))
	q.isJSON = media == "application/json" || strings.HasSuffix(media, "+json")
	if text, is := value.(string); is && !q.isJSON {
		q.body = []byte(text)
		return derived, "", tooLarge(len(text))
	}
	if !h.options.KeepEmpty {
		if value, ok = destination.DropEmpty(value); !ok {
			return nil, "nothing to send: no value of the body is set and changed; keep_empty sends empty ones, too", nil
		}
	}
	q.isJSON = true
	if q.body, err = r.body.Marshal(value); err != nil {
		return nil, "", destination.ExpressionError(err, err.Error())
	}
	return derived, "", tooLarge(len(q.body))
}

// madeOfSecrets returns the strings in a body that change when the secrets are masked: all of them, if the
// body cannot be built with masked secrets.
func (h *api) madeOfSecrets(ctx context.Context, r *request, value any, input *jq.Input) []string {
	plain, _, err := r.body.One(ctx, input, h.masked)
	var harmless []string
	if err == nil {
		harmless = texts(plain)
	}
	return slices.DeleteFunc(texts(value), func(text string) bool { return slices.Contains(harmless, text) })
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
