package hubspot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
)

func TestPreviewOfCompanies(t *testing.T) {
	t.Parallel()
	b := setup(t, withCompanies(`"missing": "create"`))
	show := func(b *testBundle, m destination.Message) (out []string) {
		t.Helper()
		requests, err := b.destination.Preview(t.Context(), m)
		require.NoError(t, err)
		for _, r := range requests {
			require.Equal(t, "Bearer ***", r.Header.Get("Authorization"))
			path := r.Method + " " + r.URL[len(b.url):]
			if r.Body != nil {
				path += " " + string(r.Body)
			}
			out = append(out, path+" # "+r.Note)
		}
		return out
	}
	const (
		contact   = "GET /crm/v3/objects/contacts/user_1?idProperty=authsync_user_id&properties=authsync_user_id # Looks for the contact by authsync_user_id. Without one, nothing is associated: a contact is made by its user."
		company   = "GET /crm/v3/objects/companies/org_1?idProperty=authsync_organization_id&properties=authsync_organization_id # Looks for the company by authsync_organization_id."
		creation  = `POST /crm/v3/objects/companies {"properties":{"authsync_organization_id":"org_1","name":"Acme"}}`
		associate = "PUT /crm/v4/objects/contacts/{contact}/associations/default/companies/{company} # If there are both."
	)
	require.Equal(t, []string{
		company + " The next follows only if HubSpot answers 404.",
		`PATCH /crm/v3/objects/companies/{id} {"properties":{"authsync_organization_id":"org_1","name":"Acme"}} # If one was found.`,
		creation + " # If none was found.",
	}, show(b, organization(t, nil, acme())))

	m := member(t, acme(), nil, joined())
	require.Equal(t, []string{contact, company, creation + " # If there is no company: it is made of the organization as it is now.", associate}, show(b, m))
	m = member(t, acme(), joined(), joined().with("role", "admin"))
	m.ExternalID = "7/8"
	require.Empty(t, show(b, m), "they are associated")
	m = member(t, acme(), joined(), joined().gone())
	m.ExternalID = "7/8"
	require.Equal(t, []string{contact, company, "DELETE /crm/v4/objects/contacts/7/associations/companies/8 # If there are both."}, show(b, m))

	waits := setup(t, withCompanies(`"missing": "skip"`))
	require.Equal(t, []string{
		contact, company + " If there is none, the delivery is retried for some minutes; then missing applies, which is skip.", associate,
	}, show(waits, member(t, acme(), nil, joined())))

	u := message(t, nil, ada())
	u.OrganizationIDs = []string{"org_1"}
	shown := show(b, u)
	require.Equal(t, []string{
		company + " The user is a member of its organization, and the contact is new or newly found.",
		"PUT /crm/v4/objects/contacts/{id}/associations/default/companies/{company} # If there is one.",
	}, shown[len(shown)-2:])
	require.Empty(t, b.portal.Calls(), "nothing is sent")

	failing := setup(t, withCompanies(`"properties": {"city": ".organization.name.x"}`))
	_, err := failing.destination.Preview(t.Context(), member(t, acme(), nil, joined()))
	require.ErrorContains(t, err, "options.companies.properties.city")
}
