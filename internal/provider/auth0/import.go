package auth0

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates an object of Auth0's Management API (GET /api/v2/users, or a line of
// an export of users), which has the keys of an event's object.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Keys: keys()}, nil)
}

// RawKeys are those that events and exports have alike. Without identities, whose
// entries are shorter in an export, and without what a login changes.
func (Provider) RawKeys() []string {
	return strings.Fields(`email_verified phone_number phone_verified name given_name family_name nickname picture username blocked
		app_metadata user_metadata`)
}
