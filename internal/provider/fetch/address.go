package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ParseBase reads the address of a server as a person gives it. It must be
// https, or http to this machine; the result has no slash at its end. The field
// is named in the error.
func ParseBase(field, text string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || base.Host == "" || base.Hostname() == "":
		return nil, fmt.Errorf("%s is no address: it looks like https://app.example.com", field)
	case base.User != nil:
		return nil, fmt.Errorf("%s holds a user name or password: leave them out", field)
	case base.RawQuery != "" || base.Fragment != "" || base.ForceQuery:
		return nil, fmt.Errorf("%s holds a ? or #: give the address up to there", field)
	case !safeURL(base):
		return nil, fmt.Errorf("%s must begin with https:// (http:// is for this machine only: 127.0.0.1, localhost)", field)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	return base, nil
}

// safeURL reports an address to which a secret may be sent.
func safeURL(u *url.URL) bool {
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		ip := net.ParseIP(u.Hostname())
		return ip.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
	default:
		return false
	}
}

// sameHost follows redirects within a host only: another one must get neither
// the token nor the requests.
func sameHost(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	if len(before) > redirectsMax {
		return errors.New("the server redirects in circles")
	}
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}
