package auth0

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

const field = "credentials.webhook_authorization"

// checkAuthorization checks what Auth0 itself would require, and that no value is set that the
// method would silently ignore.
func checkAuthorization(a *provider.Authorization) error {
	rest := *a
	var err error
	switch a.Method {
	case methodBearer:
		rest.Token = ""
		err = a.Token.Check(field + ".token")
	case methodBasic:
		rest.Username, rest.Password = "", ""
		if err = checkUsername(a.Username); err == nil {
			err = a.Password.Check(field + ".password")
		}
	case methodCustomHeader:
		rest.HeaderKey, rest.HeaderValue = "", ""
		if err = checkHeaderKey(a.HeaderKey); err == nil {
			err = a.HeaderValue.Check(field + ".header_value")
		}
	default:
		return fmt.Errorf("%s.method is %.40q: it takes bearer, basic or custom_header", field, a.Method)
	}
	if err != nil {
		return err
	}
	if rest != (provider.Authorization{Method: a.Method}) {
		return fmt.Errorf("%s holds more than method %s takes: bearer takes token, basic takes username and password, "+
			"custom_header takes header_key and header_value", field, a.Method)
	}
	return nil
}

func checkUsername(name string) error {
	switch {
	case len(name) > 128:
		return errors.New(field + ".username is longer than 128 bytes, which Auth0 does not take")
	case strings.Contains(name, ":"):
		return errors.New(field + ".username holds a colon, which Basic authentication cannot carry")
	}
	return provider.Secret(name).Check(field + ".username")
}

func checkHeaderKey(key string) error {
	// The characters of a token, RFC 9110, section 5.6.2.
	const marks = "!#$%&'*+-.^_`|~"
	notInToken := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(marks, r)
	}
	if key == "" || strings.ContainsFunc(key, notInToken) {
		return errors.New(field + ".header_key is no name of an HTTP header: it takes letters, digits and " + marks)
	}
	switch http.CanonicalHeaderKey(key) {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Expect":
		return fmt.Errorf("%s.header_key is %s, which HTTP servers keep for themselves: choose another header", field, key)
	case "Content-Type", "Content-Encoding", "User-Agent", "X-Request-Id":
		return fmt.Errorf("%s.header_key is %s, which says something else and is stored in plain text: choose another header", field, key)
	}
	return nil
}
