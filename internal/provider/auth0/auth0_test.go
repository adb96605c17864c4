package auth0_test

import (
	"os"
	"testing"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestMain(m *testing.M) { os.Exit(providertest.Main(m)) }

func TestFixtures(t *testing.T) {
	t.Parallel()
	providertest.Fixtures(t, auth0.New(), false)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: auth0.New(),
		Secrets:  [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "Bearer third-of-three-secrets"},
		Columns: map[string]record.Column{
			"email": record.Email, "given_name": record.FirstName, "family_name": record.LastName,
			"nickname": record.Username, "picture": record.ImageURL,
		},
		Records: []providertest.Record{
			{EventType: "organization.created", Type: record.Organization},
			{EventType: "organization.updated", Type: record.Organization},
			{EventType: "organization.deleted", Type: record.Organization, Deletes: true},
			{EventType: "organization.member.added", Type: record.Membership},
			{EventType: "organization.member.deleted", Type: record.Membership, Deletes: true},
			{EventType: "organization.member.role.assigned", Type: record.Membership, Role: true},
			{EventType: "organization.member.role.deleted", Type: record.Membership, Role: true},
		},
		OtherTypes: []string{
			"organization.connection.added", "organization.group.role.assigned", "group.deleted", "group.member.added", "connection.updated", "organization.",
		},
		HasEventID: true, Bridged: true,
	})
}

func TestFixturesInEnvelopesOfEventBridge(t *testing.T) {
	t.Parallel()
	providertest.BridgedFixtures(t, auth0.New())
}
