package destination

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	// MaxExchanges is the number of requests of an attempt that are kept: the last ones.
	MaxExchanges = 8
	// maxURL, maxHeaders and maxHeader limit what is kept of the head of a request: bytes, values, bytes of a value.
	maxURL     = 2 << 10
	maxHeaders = 50
	maxHeader  = 500
	// ellipsis ends a URL or a header that is cut.
	ellipsis = "…"
)

// Exchange is one request of an attempt as it was sent, with its response. Secrets are masked, see Mask.Exchange; all is
// valid UTF-8 without U+0000, and of limited size.
type Exchange struct {
	Method string
	URL    string
	// Header are the headers that the destination sets. What the connection adds (Host, Content-Length, Accept-Encoding) follows from
	// the rest.
	Header http.Header
	// Body is the start of the body, at most MaxResponse bytes, as sent; BodyBytes is the size of all of it.
	Body      string
	BodyBytes int
	BodyCut   bool
	// Sent is false if there was no connection: nothing of the request has left.
	Sent bool
	// Status is the HTTP status, 0 without a response; Response is the start of the response.
	Status   int
	Response string
	// Note says what is left out, and why.
	Note string
}

// Exchange returns what is kept of a request made by http.NewRequest, before it is sent. Masked are
//
//   - the secrets of the destination, in any form, wherever they are;
//   - the values of headers whose name says that they are credentials or signatures: a valid one lets anybody send the request again;
//   - the values of such parameters of the query, and the user and password of a URL.
func (m Mask) Exchange(r *http.Request) Exchange {
	address := *r.URL
	address.Fragment = "" // never sent
	e := Exchange{Method: r.Method, URL: m.URL(address.String()), Header: make(http.Header, len(r.Header)), BodyBytes: int(r.ContentLength)}
	left := maxHeaders
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			if left == 0 {
				e.Note = "some headers are left out"
				break
			}
			e.Header.Add(name, m.Header(name, value))
			left--
		}
	}
	if r.GetBody == nil {
		return e
	}
	body, err := r.GetBody()
	if err != nil {
		return e
	}
	read, _ := io.ReadAll(io.LimitReader(body, int64(m.ReadAhead()))) // from memory
	e.Body, e.BodyCut = m.Excerpt(read)
	return e
}

// Header returns a header's value as it is kept. Of a credential the known schemes stay: a missing one is a common mistake.
func (m Mask) Header(name, value string) string {
	if isSecretName(name) {
		for _, scheme := range []string{"Bearer ", "Basic "} {
			if strings.HasPrefix(value, scheme) {
				return scheme + Masked
			}
		}
		return Masked
	}
	return storable(m.Hide(value), maxHeader)
}

// URL returns a URL as it is kept.
func (m Mask) URL(address string) string {
	user := ""
	if u, err := url.Parse(address); err == nil && u.User != nil {
		u.User, user = nil, Masked+"@"
		address = u.String()
	}
	scheme, rest, _ := strings.Cut(address, "://")
	path, query, is := strings.Cut(rest, "?")
	if is {
		parameters := strings.Split(query, "&")
		for i, p := range parameters {
			if name, value, valued := strings.Cut(p, "="); valued && m.isSecretParameter(name, value) {
				parameters[i] = name + "=" + Masked
			}
		}
		path += "?" + strings.Join(parameters, "&")
	}
	return storable(m.Hide(scheme+"://"+user+path), maxURL)
}

// isSecretParameter reports whether a parameter of a query is a credential by its name, or has a secret in whatever escapes.
func (m Mask) isSecretParameter(name, value string) bool {
	plain, err := url.QueryUnescape(name)
	if err != nil || isSecretName(plain) || slices.Contains([]string{"key", "sig", "auth", "code", "pwd", "hmac"}, strings.ToLower(plain)) {
		return true
	}
	for _, unescape := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if plain, err := unescape(value); err != nil || m.Hide(plain) != plain {
			return true
		}
	}
	return false
}

// isSecretName reports whether what has this name is a credential or a signature.
func isSecretName(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	return slices.ContainsFunc([]string{
		"authorization", "auth-", "-auth", "cookie", "signature", "secret", "token", "password", "passwd", "credential",
		"api-key", "apikey", "access-key", "accesskey", "private-key",
	}, func(part string) bool { return strings.Contains(name, part) })
}

// storable makes a text one that PostgreSQL takes, of at most a number of bytes.
func storable(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(ellipsis)], "") + ellipsis
}
