package dashboard

import (
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/publicurl"
)

// Names of our cookies, see cookieName.
const (
	sessionCookie = "authsync_session"
	noticeCookie  = "authsync_notice"
)

// hostOnly begins the name of a cookie that browsers take only from this very host, by https, for all of its paths (RFC
// 6265bis, 4.1.3.2). A cookie without it could be set by any other host of the same domain, such as a customer's page
// next to ours, and a person would work in a session of somebody else.
const hostOnly = "__Host-"

// isSecure reports whether the browser came by https.
func (d *Dashboard) isSecure(r *http.Request) bool {
	return strings.HasPrefix(publicurl.Of(r, d.config.PublicURL), "https://")
}

// cookieName is the name of one of our cookies. By http, as with a server on the reader's own machine, browsers take
// none that begins with hostOnly.
func (d *Dashboard) cookieName(r *http.Request, name string) string {
	if d.isSecure(r) {
		return hostOnly + name
	}
	return name
}

// cookie returns the value of one of our cookies; empty: there is none. Where there may be one with hostOnly, another is
// not read.
func (d *Dashboard) cookie(r *http.Request, name string) string {
	cookie, err := r.Cookie(d.cookieName(r, name))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie sets one of our cookies; a negative age deletes it.
func (d *Dashboard) setCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration, sameSite http.SameSite) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // secure if the browser came by https
		Name: d.cookieName(r, name), Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, SameSite: sameSite, Secure: d.isSecure(r),
	})
}
