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
		OtherTypes: []string{"session.created", "session.pending", "organization.created", "subscriptionItem.created"},
		SignsBody:  true,
		SignsTime:  true,
		HasEventID: true,
	})
}
