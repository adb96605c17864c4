package custom_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
		SignsBody:  true, SignsTime: true, HasEventID: true, Bridged: true,
	})
}

func webhookSecrets() [3]provider.Secret {
	return [3]provider.Secret{
		"whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw==", "whsec_c2Vjb25kLW9mLXRocmVlLXNlY3JldHM", "whsec_dGhpcmQtb2YtdGhyZWUtc2VjcmV0cw==",
	}
}

func TestConformanceOfLogto(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider:   custom.New("logto"),
		Secrets:    [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "third-of-three-secrets"},
		Types:      map[string]string{"user.created": "User.Created", "user.updated": "User.Data.Updated", "user.deleted": "User.Deleted"},
		Columns:    map[string]record.Column{"primaryEmail": record.Email, "username": record.Username, "avatar": record.ImageURL},
		OtherTypes: []string{"Organization.Created", "Role.Data.Updated"},
		SignsBody:  true, NoUpdatedAt: true,
	})
}

func TestConformanceOfStytch(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: custom.New("stytch"), Secrets: webhookSecrets(), BadSecrets: []provider.Secret{"whsec_", "whsec_no base64 at all"},
		Types:      map[string]string{"user.created": "user.CREATE", "user.updated": "user.UPDATE", "user.deleted": "user.DELETE"},
		Columns:    map[string]record.Column{"email": record.Email, "first_name": record.FirstName, "last_name": record.LastName},
		OtherTypes: []string{"member.CREATE", "organization.UPDATE"},
		SignsBody:  true, SignsTime: true, NoUpdatedAt: true, HasEventID: true,
	})
}

func TestConformanceOfStackAuth(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: custom.New("stack_auth"), Secrets: webhookSecrets(), BadSecrets: []provider.Secret{"whsec_"},
		Columns:    map[string]record.Column{"primary_email": record.Email, "profile_image_url": record.ImageURL},
		Records:    records("team", "")[:3],
		OtherTypes: []string{"team_membership.created", "team_permission.created"},
		SignsBody:  true, SignsTime: true, NoTime: true, HasEventID: true,
	})
}

func TestConformanceOfSupabase(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider:   custom.New("supabase"),
		Secrets:    [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "third-of-three-secrets"},
		Types:      map[string]string{"user.created": "auth.users.INSERT", "user.updated": "auth.users.UPDATE", "user.deleted": "auth.users.DELETE"},
		Columns:    map[string]record.Column{"email": record.Email, "avatar_url": record.ImageURL},
		OtherTypes: []string{"public.users.INSERT", "auth.sessions.DELETE"},
	})
}

func TestConformanceOfKeycloak(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: custom.New("keycloak"),
		Secrets:  [3]provider.Secret{"first-of-three-secrets", "second-of-three-secrets", "third-of-three-secrets"},
		Types: map[string]string{
			"user.created": "admin.USER-CREATE", "user.updated": "admin.USER-UPDATE", "user.deleted": "admin.USER-DELETE",
		},
		Columns: map[string]record.Column{
			"email": record.Email, "firstName": record.FirstName, "lastName": record.LastName, "username": record.Username,
		},
		OtherTypes: []string{"access.LOGIN", "access.REGISTER_ERROR", "admin.GROUP-CREATE", "admin.USER-ACTION"},
		SignsBody:  true, NoUpdatedAt: true, HasEventID: true,
	})
}

func TestConformanceOfPropelAuth(t *testing.T) {
	t.Parallel()
	providertest.Run(t, providertest.Subject{
		Provider: custom.New("propelauth"), Secrets: webhookSecrets(), BadSecrets: []provider.Secret{"whsec_"},
		Columns: map[string]record.Column{
			"email": record.Email, "first_name": record.FirstName, "last_name": record.LastName, "username": record.Username,
			"picture_url": record.ImageURL,
		},
		Records: append(records("org", "")[:3],
			providertest.Record{EventType: "user.added_to_org", Type: record.Membership},
			providertest.Record{EventType: "user.role_changed_within_org", Type: record.Membership},
			providertest.Record{EventType: "user.removed_from_org", Type: record.Membership, Deletes: true}),
		OtherTypes: []string{"user.disabled", "user.login", "org.saml_setup"},
		SignsBody:  true, SignsTime: true, NoTime: true, NoCreatedAt: true, HasEventID: true,
	})
}

// A preset is a file that is known by its name, and nothing else is one.
func TestPresetsAreTheirFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("presets/*.yaml")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		names = append(names, name)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		d, err := custom.ReadFile(file, text)
		require.NoError(t, err)
		require.Equal(t, d.Title, provider.Title(name))
		require.NotEmpty(t, custom.PresetTypes(name))
	}
	require.ElementsMatch(t, provider.Presets(), names)
}

func TestFixturesOfPresets(t *testing.T) {
	t.Parallel()
	for _, name := range provider.Presets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			providertest.FixturesIn(t, filepath.Join("testdata", name), custom.New(name), slices.Contains([]string{"stytch", "stack_auth", "propelauth"}, name))
		})
	}
}
