package auth0

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
)

// DecodeUser translates an object of Auth0's Management API (GET /api/v2/users, or a line of a user
// export), which has the keys of an event's object.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Mapping: users()}, nil)
}

// Comparison describes how to compare: entries of identities are shorter in an export and in a
// failed delivery. A login also changes updated_at; brute-force blocks come and go without an
// event.
func (Provider) Comparison() provider.Comparison {
	return provider.Comparison{
		Complete: strings.Fields(`user_id email email_verified phone_number phone_verified name given_name family_name nickname picture
			username blocked app_metadata user_metadata created_at updated_at`),
		Quiet: strings.Fields(`last_login last_ip logins_count blocked_for`),
		Loose: strings.Fields(`identities`),
	}
}
