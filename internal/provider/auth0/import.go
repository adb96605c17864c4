package auth0

import (
	"encoding/json"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates an object of Auth0's Management API (GET /api/v2/users, or a line of
// an export of users), which has the keys of an event's object.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Keys: keys()}, nil)
}
