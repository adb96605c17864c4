package clerk

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// DecodeUser translates an object of Clerk's Backend API (GET /v1/users), which is the same as the
// data of a user webhook.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Mapping: users()}, func(c *payload.Change, whole bool) {
		primary := c.Object.Member("primary_email_address_id")
		if whole && primary.IsAbsent() {
			primary = payload.Null()
		}
		setEmailOf(c, primary)
	})
}

// DecodeRecord translates an object of one of the lists of the whole instance, which is the same as
// the data of its webhooks.
func (Provider) DecodeRecord(t record.Type, object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	lists := payload.Lists{Organizations: organizations, Memberships: memberships, Invitations: invitations}
	return lists.Import(t, object, i, o)
}

// Comparison describes how to compare: webhooks and the API have the same user object, except for
// scim. Signing in, or failing to, may send no event. Neither do the members of an organization send
// one of it, nor a member's profile or organization one of the membership.
func (Provider) Comparison(t record.Type) provider.Comparison {
	switch t {
	case record.User:
	case record.Organization:
		return provider.Comparison{Quiet: strings.Fields(`members_count pending_invitations_count last_active_at`)}
	case record.Membership:
		return provider.Comparison{
			Quiet: strings.Fields(`organization public_user_data`), Loose: strings.Fields(`organization public_user_data`),
		}
	case record.Invitation, record.Session:
		return provider.Comparison{}
	}
	return provider.Comparison{
		Complete: strings.Fields(`id external_id username first_name last_name locale image_url primary_email_address_id primary_phone_number_id
			primary_web3_wallet_id email_addresses phone_numbers web3_wallets external_accounts public_metadata private_metadata
			unsafe_metadata password_enabled two_factor_enabled banned created_at updated_at`),
		Quiet:    strings.Fields(`last_sign_in_at last_active_at locked verification_attempts_remaining`),
		Computed: strings.Fields(`lockout_expires_in_seconds`),
	}
}
