package receiver

import (
	"net/http"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

// Headers are kept for the person who looks into a delivery. There is a list of
// those that may be kept, so that a credential can't slip through.
const (
	maxHeaderValue = 512 // bytes; what is longer is cut
	maxHeaders     = 32
)

// keepable reports whether a header, by its canonical name, never holds a
// credential or a signature and says something about the delivery.
func keepable(name string) bool {
	switch name {
	// Package auth0 lets no credential travel in the first three.
	case "Content-Type", "User-Agent", "X-Request-Id",
		"Svix-Id", "Svix-Timestamp",
		"Webhook-Id", "Webhook-Timestamp",
		"X-Webhook-Id", "X-Webhook-Timestamp", "X-Webhook-Event":
		return true
	default:
		return strings.HasPrefix(name, "Ce-") // CloudEvents in binary mode
	}
}

// keep chooses the headers to store. Where the credential travels in a header of
// the customer's choice, that may be any of them: only the Content-Type is safe then.
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
