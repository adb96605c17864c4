// Package auth0 verifies, decodes and signs what Auth0 sends: the webhooks of
// its Event Streams and of its Log Streams, and a short form that people send
// from Actions of their own.
//
// Auth0 signs nothing. It authenticates with a static secret in a header, so a
// request proves that its sender knows the secret, not when it was made, nor
// that its body is as it was. Source of the wire facts: Auth0's documentation
// of Event Streams and Log Streams and its Event Catalog 0.7.2.
package auth0

import (
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// Provider is Auth0. It takes the credentials webhook_signing_secret,
// webhook_authorization, domain, client_id and client_secret, and the options
// absent_fields and base_url.
type Provider struct{}

// New returns Auth0.
func New() Provider { return Provider{} }

// Name is the name as it stands in the database.
func (Provider) Name() string { return provider.Auth0 }

// keys are the keys of Auth0's user object (Event Catalog, user.*).
func keys() *payload.Keys {
	return &payload.Keys{
		payload.ID:           "user_id",
		payload.Email:        "email",
		payload.FirstName:    "given_name",
		payload.LastName:     "family_name",
		payload.FullName:     "name",
		payload.Username:     "nickname",
		payload.ImageURL:     "picture",
		payload.CreatedAt:    "created_at",
		payload.UpdatedAt:    "updated_at",
		payload.LastSignInAt: "last_login",
		payload.DeletedAt:    "deleted_at",
	}
}

// The types that are mirrored; all others are ignored.
const (
	userCreated = "user.created"
	userUpdated = "user.updated"
	userDeleted = "user.deleted"
)
