// Package betterauth verifies, decodes and signs the requests of customers' Better Auth servers.
// Better Auth is a library in the customer's own server and sends no webhooks; the customer adds a
// few lines that do, in one of three formats:
//
//	format                  header                          body
//	better_auth_signature   X-Better-Auth-Signature         {"event", "user"}
//	standard_webhooks       webhook-* (or svix-*)           {"type", "timestamp", "data"}
//	webhook_signature       X-Webhook-Signature             {"id", "event", "timestamp", "data"}
//
// The first has no protection against replay beyond a stale updatedAt or a repeated digest. It is
// accepted only if option signature_formats lists it. The second is recommended. The third is that
// of the npm package @pinklemon8/better-auth-webhooks 0.1.0. Source of the wire facts: the package
// better-auth 1.7.7, as observed.
package betterauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

// The formats, as in option signature_formats.
const (
	FormatSignature        = "better_auth_signature"
	FormatStandardWebhooks = "standard_webhooks"
	FormatPlugin           = "webhook_signature"
)

// Provider is Better Auth. It uses the credentials webhook_signing_secret, session_token and
// database_url, and the options absent_fields, record_types, signature_formats, base_url
// and source.
type Provider struct{}

// New returns Better Auth.
func New() Provider { return Provider{} }

// Name returns the name used in the database.
func (Provider) Name() string { return provider.BetterAuth }

// formats returns the accepted formats, strongest first; by default those protected against replay.
func formats(o provider.Options) ([]string, error) {
	all := []string{FormatStandardWebhooks, FormatPlugin, FormatSignature}
	for _, format := range o.SignatureFormats {
		if !slices.Contains(all, format) {
			return nil, fmt.Errorf("options.signature_formats holds %.40q: it takes %s", format, strings.Join(all, ", "))
		}
	}
	if len(o.SignatureFormats) == 0 {
		return []string{FormatStandardWebhooks, FormatPlugin}, nil
	}
	return slices.DeleteFunc(all, func(format string) bool { return !slices.Contains(o.SignatureFormats, format) }), nil
}
