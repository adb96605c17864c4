package receiver

import (
	"net/http"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

// Headers are stored for people who inspect a message. An allow-list keeps credentials out.
const (
	maxHeaderValue = 512 // bytes; longer values are truncated
	maxHeaders     = 32
)

// keepable reports whether a header, by canonical name, never holds a credential or a signature and
// is worth keeping.
func keepable(name string) bool {
	switch name {
	// package auth0 refuses credentials in the first three
	case "Content-Type", "User-Agent", "X-Request-Id",
		"Svix-Id", "Svix-Timestamp",
		"Webhook-Id", "Webhook-Timestamp",
		"X-Webhook-Id", "X-Webhook-Timestamp", "X-Webhook-Event":
		return true
	default:
		return strings.HasPrefix(name, "Ce-") // CloudEvents in binary mode
	}
}

// keep selects the headers to store. If the customer chooses the header that carries the
// credential, it may be any of them, so only Content-Type is safe.
func keep(h http.Header, proof provider.Proof) map[string]string {
	kept := make(map[string]string, 4)
	for name, values := range h {
		if len(values) == 0 || len(kept) == maxHeaders || !keepable(name) {
			continue
		}
		if proof.Method == "custom_header" && name != "Content-Type" {
			continue
		}
		value := values[0]
		if len(value) > maxHeaderValue {
			value = value[:maxHeaderValue]
		}
		kept[name] = value
	}
	return kept
}
