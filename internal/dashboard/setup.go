package dashboard

import (
	_ "embed"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/workos"
)

// setup is what a person must know to connect a provider.
type setup struct {
	// Clicks lead through the provider's own dashboard.
	Clicks []string
	// Snippet is code for the customer's server; empty: none is needed.
	Snippet string
	// Generates says that the signing secret may be one of ours.
	Generates bool
	// Ways are those in which authsync can read the users who exist already.
	Ways []way
	// Provisions says that authsync can set up the webhook itself, and what it needs beside; empty: it cannot.
	Provisions string
	// Absent says that the provider sends whole objects, so that option absent_fields is of use.
	Absent bool
	// Pulls is what pulling events takes; empty: they cannot be pulled.
	Pulls string
}

// way is one in which users can be read.
type way struct {
	Title, Text string
	Inputs      []input
}

// input is a field of a way. Its name begins with the place in which it is stored.
type input struct {
	Name, Label, Hint string
	Secret            bool
}

// Credential is the name of the credential that is entered; empty: it is none.
func (i input) Credential() string {
	kind, name := splitInput(i.Name)
	if kind != inputCredential {
		return ""
	}
	return name
}

//go:embed pages/better-auth.ts
var betterAuthSnippet string

func setupOf(providerName string) setup {
	switch providerName {
	case provider.Auth0:
		return setup{
			Clicks: []string{
				"Open the Auth0 dashboard: Event Streams → Create → Webhook.",
				"Paste the webhook URL.",
				"Choose Authorization: Bearer, and the signing secret as the token.",
				"Subscribe to all types of user, organization, organization.member and organization.member.role.",
			},
			Generates: true, Absent: true, Pulls: "permission read:events",
			Provisions: "The application also needs the permissions read:, create:, update: and delete:event_streams.",
			Ways: []way{{
				Title: "An application with access to the Management API",
				Text: "Auth0 dashboard: Applications → Create Application → Machine to Machine, Auth0 Management API, with the permissions read:users, " +
					"read:organizations, read:organization_members, read:organization_member_roles and read:organization_invitations.",
				Inputs: []input{
					{Name: "credential.domain", Label: "Domain", Hint: "shop.eu.auth0.com"},
					{Name: "credential.client_id", Label: "Client id"},
					{Name: "credential.client_secret", Label: "Client secret", Secret: true},
				},
			}},
		}
	case provider.Clerk:
		return setup{
			Clicks: []string{
				"Open the Clerk dashboard: Configure → Webhooks → Add Endpoint.",
				"Paste the webhook URL.",
				"Subscribe to all types of user, organization, organizationMembership and organizationInvitation, and of session if you mirror sessions.",
				"Create the endpoint, and copy its signing secret (whsec_…) into the form below.",
			},
			Provisions: "The secret key is enough. Clerk does not document how this is done: if it has changed, the steps say so, and the webhook is entered by hand.",
			Ways: []way{{
				Title: "The secret key of the instance", Text: "Clerk dashboard: Configure → API keys → Secret keys.",
				Inputs: []input{{Name: "credential.secret_key", Label: "Secret key", Hint: "sk_live_…", Secret: true}},
			}},
		}
	case provider.BetterAuth:
		return setup{
			Clicks: []string{
				"Generate the signing secret below, or enter your own.",
				"Set AUTHSYNC_WEBHOOK_URL and AUTHSYNC_SECRET in the environment of your Better Auth server: the webhook URL and the secret.",
				"Add these lines to your server.",
			},
			Snippet: betterAuthSnippet, Generates: true, Pulls: "triggers in its database",
			Ways: []way{
				{
					Title: "The tables of your Better Auth server", Text: "authsync reads them in PostgreSQL. Without a URL they are looked for in the project’s own database.",
					Inputs: []input{
						{Name: "credential.database_url", Label: "Database URL (optional)", Hint: "postgres://…", Secret: true},
						{Name: "source.schema", Label: "Schema", Hint: "public"},
						{Name: "source.user_table", Label: "Table of the users", Hint: "user"},
					},
				},
				{
					Title: "Its admin API", Text: "The server needs the plugin admin; the session is that of a user who may list users.",
					Inputs: []input{
						{Name: "option.base_url", Label: "Base URL", Hint: "https://shop.example/api/auth"},
						{Name: "credential.session_token", Label: "Session token", Secret: true},
					},
				},
			},
		}
	default:
		return setupOfDefinition(providerName)
	}
}

// setupOfDefinition is for a provider that a definition describes; of these, only WorkOS can be read.
func setupOfDefinition(providerName string) setup {
	what := "Subscribe to all types of users, and of organizations where it has some."
	if strings.HasPrefix(providerName, provider.CustomPrefix) {
		what = "Subscribe to the types that the definition below has."
	}
	clicks := []string{
		"Open the dashboard of " + provider.Title(providerName) + ", and add a webhook.",
		"Paste the webhook URL.",
		what,
		"Copy the signing secret into the form below.",
	}
	s := setup{Clicks: clicks, Absent: true}
	if providerName == workos.Name {
		s.Ways = []way{{
			Title: "The API key of the environment", Text: "WorkOS dashboard: API Keys.",
			Inputs: []input{{Name: "credential.secret_key", Label: "API key", Hint: "sk_…", Secret: true}},
		}}
	}
	return s
}
