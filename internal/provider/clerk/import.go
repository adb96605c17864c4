package clerk

import (
	"encoding/json"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates an object of Clerk's Backend API (GET /v1/users), which
// is the same as the data of a webhook about the user.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Keys: keys()}, func(c *payload.Change, whole bool) {
		primary := c.Object.Member("primary_email_address_id")
		if whole && primary.IsAbsent() {
			primary = payload.Null()
		}
		setEmailOf(c, primary)
	})
}
