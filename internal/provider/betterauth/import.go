package betterauth

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// DecodeUser translates a row of Better Auth's user table, as returned by its admin API or with the
// field names as keys.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Mapping: users(), NumericID: true}, nil)
}

// DecodeRecord translates a row of the tables organization, member and invitation, with the field
// names as keys.
func (Provider) DecodeRecord(t record.Type, object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	lists := payload.Lists{Organizations: organizations, Memberships: memberships, Invitations: invitations, NumericID: true}
	return lists.Import(t, object, i, o)
}

// Comparison describes how to compare: the object is the whole row; its keys are those of Better
// Auth and of its plugin admin.
func (Provider) Comparison(t record.Type) provider.Comparison {
	if t != record.User {
		return provider.Comparison{} // both are the row
	}
	return provider.Comparison{
		Complete: strings.Fields(`id name email emailVerified image createdAt updatedAt role banned banReason`),
		Quiet:    strings.Fields(`lastActiveAt`),
	}
}
