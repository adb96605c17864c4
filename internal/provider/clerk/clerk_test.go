package clerk_test

import (
	"os"
	"testing"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestMain(m *testing.M) { os.Exit(providertest.Main(m)) }

func TestFixtures(t *testing.T) {
	t.Parallel()
	providertest.Fixtures(t, clerk.New(), true)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: clerk.New(),
		Secrets: [3]provider.Secret{
			"whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw==",
			" whsec_c2Vjb25kLW9mLXRocmVlLXNlY3JldHM ",
			"v1,whsec_dGhpcmQtb2YtdGhyZWUtc2VjcmV0cw==",
		},
		BadSecrets: []provider.Secret{"whsec_", "whsec_==", "whsec_no base64 at all", "whsec_a", "Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw==", "sk_live_abcdefghi"},
		Columns: map[string]record.Column{
			"email": record.Email, "first_name": record.FirstName, "last_name": record.LastName,
			"username": record.Username, "image_url": record.ImageURL,
		},
		Records: []providertest.Record{
			{EventType: "organization.created", Type: record.Organization},
			{EventType: "organization.updated", Type: record.Organization},
			{EventType: "organization.deleted", Type: record.Organization, Deletes: true},
			{EventType: "organizationMembership.created", Type: record.Membership},
			{EventType: "organizationMembership.updated", Type: record.Membership},
			{EventType: "organizationMembership.deleted", Type: record.Membership, Deletes: true},
			{EventType: "organizationInvitation.created", Type: record.Invitation},
			{EventType: "organizationInvitation.accepted", Type: record.Invitation},
			{EventType: "organizationInvitation.revoked", Type: record.Invitation},
			{EventType: "session.created", Type: record.Session},
			{EventType: "session.pending", Type: record.Session},
			{EventType: "session.ended", Type: record.Session, Deletes: true},
			{EventType: "session.removed", Type: record.Session, Deletes: true},
			{EventType: "session.revoked", Type: record.Session, Deletes: true},
		},
		OtherTypes: []string{
			"session.touched", "organizationDomain.created", "role.updated", "permission.deleted", "waitlistEntry.created", "subscriptionItem.created",
		},
		SignsBody:  true,
		SignsTime:  true,
		HasEventID: true,
	})
}
