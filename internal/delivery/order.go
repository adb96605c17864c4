package delivery

import (
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
)

// OrderKey returns the key of the order in which changes are delivered: of deliveries with the same key, each is sent
// after the one before. What belongs to a user shares the user's key, so that a membership that is deleted with its
// user is deleted after it; an invitation shares that of its organization. The keys of users and of organizations
// differ even where their ids do not.
func OrderKey(c *mirror.FeedChange) string {
	owner := record.Ref{Type: c.RecordType, ID: c.RecordID}
	switch c.RecordType {
	case record.Membership, record.Session:
		if c.UserID != "" {
			owner = record.Ref{Type: record.User, ID: c.UserID}
		}
	case record.Invitation:
		if c.OrganizationID != "" {
			owner = record.Ref{Type: record.Organization, ID: c.OrganizationID}
		}
	case record.User, record.Organization:
	}
	return string(owner.Type) + ":" + owner.ID
}
