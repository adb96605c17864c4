package userapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// ParseBase parses the address of a server as a person wrote it; the result has no trailing slash
// and no double slashes. The error names the field. The transport decides whether requests may go
// there, and over http: see package egress.
func ParseBase(field, text string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || base.Host == "" || base.Hostname() == "":
		return nil, fmt.Errorf("%s is no address: it looks like https://app.example.com", field)
	case base.User != nil:
		return nil, fmt.Errorf("%s holds a user name or password: leave them out", field)
	case base.RawQuery != "" || base.Fragment != "" || base.ForceQuery:
		return nil, fmt.Errorf("%s holds a ? or #: give the address up to there", field)
	case !isHTTP(base):
		return nil, fmt.Errorf("%s must begin with https://", field)
	}
	base.Path = strings.TrimSuffix(path.Clean("/"+base.Path), "/")
	base.RawPath = ""
	return base, nil
}

func isHTTP(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// sameHost follows redirects only within a host: another one must get neither the token nor the
// requests.
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
