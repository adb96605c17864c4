// Package publicurl says how the world reaches this server: where webhooks go that
// providers are told to send, and whether a browser came by https.
package publicurl

import (
	"net/http"
	"strings"
)

// Of is the base of our URLs as the world sees them: the configured one
// (AUTHSYNC_PUBLIC_URL), else what this request was sent to.
func Of(r *http.Request, configured string) string {
	if configured != "" {
		return strings.TrimRight(configured, "/")
	}
	scheme := "http"
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
