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
		OtherTypes: []string{"organization.created", "organization.member.added", "group.deleted", "connection.updated"},
		HasEventID: true,
	})
}
