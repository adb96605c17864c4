package custom_test

import (
	"testing"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// records are the types of events about organizations and memberships, as a preset calls them.
func records(organization, membership string) []providertest.Record {
	return []providertest.Record{
		{EventType: organization + ".created", Type: record.Organization},
		{EventType: organization + ".updated", Type: record.Organization},
		{EventType: organization + ".deleted", Type: record.Organization, Deletes: true},
		{EventType: membership + ".created", Type: record.Membership},
		{EventType: membership + ".updated", Type: record.Membership},
		{EventType: membership + ".deleted", Type: record.Membership, Deletes: true},
	}
}

func TestConformanceOfWorkOS(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider:  custom.New("workos"),
		Secrets:   [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "third-of-three-secrets"},
		Tolerance: 3 * time.Minute,
		Columns: map[string]record.Column{
			"email": record.Email, "first_name": record.FirstName, "last_name": record.LastName, "profile_picture_url": record.ImageURL,
		},
		Records:    records("organization", "organization_membership"),
		OtherTypes: []string{"session.created", "dsync.user.created", "authentication.password_succeeded"},
		SignsBody:  true, SignsTime: true, HasEventID: true,
	})
}
