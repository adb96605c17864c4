package betterauth_test

import (
	"os"
	"testing"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestMain(m *testing.M) { os.Exit(providertest.Main(m)) }

func TestFixtures(t *testing.T) {
	t.Parallel()
	providertest.Fixtures(t, betterauth.New(), false)
}

func subject() providertest.Subject {
	return providertest.Subject{
		Provider:   betterauth.New(),
		Secrets:    [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "third-of-three-secrets"},
		BadSecrets: []provider.Secret{" leading-space", "trailing-space "},
		Columns: map[string]record.Column{
			"email": record.Email, "firstName": record.FirstName, "lastName": record.LastName,
			"username": record.Username, "image": record.ImageURL,
		},
		Records: []providertest.Record{
			{EventType: "organization.created", Type: record.Organization},
			{EventType: "organization.updated", Type: record.Organization},
			{EventType: "organization.deleted", Type: record.Organization, Deletes: true},
			{EventType: "member.created", Type: record.Membership},
			{EventType: "member.updated", Type: record.Membership},
			{EventType: "member.deleted", Type: record.Membership, Deletes: true},
			{EventType: "membership.created", Type: record.Membership},
			{EventType: "invitation.created", Type: record.Invitation},
			{EventType: "invitation.updated", Type: record.Invitation},
			{EventType: "invitation.deleted", Type: record.Invitation, Deletes: true},
			{EventType: "session.created", Type: record.Session},
			{EventType: "session.updated", Type: record.Session},
			{EventType: "session.deleted", Type: record.Session, Deletes: true},
		},
		OtherTypes: []string{"account.created", "team.created", "teamMember.deleted", "organization.archived", "session."},
		SignsBody:  true,
		HasEventID: true,
	}
}

func TestConformanceOfSignature(t *testing.T) {
	t.Parallel()
	s := subject()
	s.Options.SignatureFormats = []string{betterauth.FormatSignature}
	providertest.Run(t, s)
}

func TestConformanceOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	s := subject()
	s.Secrets = [3]provider.Secret{
		"whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw==", "whsec_c2Vjb25kLW9mLXRocmVlLXNlY3JldHM", "v1,whsec_dGhpcmQtb2YtdGhyZWUtc2VjcmV0cw==",
	}
	s.BadSecrets = []provider.Secret{"whsec_", "whsec_==", "whsec_no base64 at all"}
	s.SignsTime = true
	providertest.Run(t, s)
}

func TestConformanceOfStandardWebhooksWithoutPrefix(t *testing.T) {
	t.Parallel()
	s := subject()
	s.Options.SignatureFormats = []string{betterauth.FormatStandardWebhooks}
	s.SignsTime = true
	providertest.Run(t, s)
}

func TestConformanceOfPlugin(t *testing.T) {
	t.Parallel()
	s := subject()
	s.Options.SignatureFormats = []string{betterauth.FormatPlugin}
	s.SignsTime = true
	providertest.Run(t, s)
}
