// Package auth0 verifies, decodes and signs Auth0's requests: the webhooks of Event Streams and Log
// Streams, and a short form that customers send from their own Actions.
//
// Auth0 signs nothing. It authenticates with a static secret in a header, so a request proves that
// its sender knows the secret, but not when it was made or that its body is unaltered. Source of
// the wire facts: Auth0's documentation of Event Streams and Log Streams and its Event Catalog
// 0.7.2.
package auth0

import "github.com/authsync/authsync/internal/provider"

// Provider is Auth0. It uses the credentials webhook_signing_secret, webhook_authorization, domain,
// client_id and client_secret, and the options absent_fields, record_types, base_url and pull.
type Provider struct{}

// New returns Auth0.
func New() Provider { return Provider{} }

// Name returns the name used in the database.
func (Provider) Name() string { return provider.Auth0 }
