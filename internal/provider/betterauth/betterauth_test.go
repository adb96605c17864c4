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
		OtherTypes: []string{"session.created", "account.created", "organization.created"},
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
