package hubspot_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/hubspot"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// withCompanies are options that keep companies, with more of their own options.
func withCompanies(more string) string {
	if more != "" {
		more = ", " + more
	}
	return `{"id_property": "` + idProperty + `", "on_delete": {"set": {"user_status": "deleted", "` + idProperty + `": ""}},
		"companies": {"id_property": "` + companyProperty + `"` + more + `}}`
}

// row is a row of organizations or memberships; nil: there was none.
type row map[string]any

func (r row) json(tb testing.TB) json.RawMessage {
	tb.Helper()
	if r == nil {
		return nil
	}
	out, err := json.Marshal(r)
	require.NoError(tb, err)
	return out
}

func acme() row { return row{"id": "org_1", "name": "Acme", "slug": "acme", "deleted_at": nil} }

// with is the row with another value.
func (r row) with(column string, value any) row {
	out := row{column: value}
	for name, v := range r {
		if name != column {
			out[name] = v
		}
	}
	return out
}

func (r row) gone() row { return r.with("deleted_at", "2026-05-04T03:02:01Z") }

// about is what a destination is told of a record: the event type follows from the rows.
func about(tb testing.TB, t record.Type, id string, before, after row) destination.Message {
	tb.Helper()
	kind := record.Updated
	switch {
	case after["deleted_at"] != nil:
		kind = record.Deleted
	case before == nil:
		kind = record.Created
	case before["deleted_at"] != nil:
		kind = record.Restored
	}
	return destination.Message{
		ID: "msg_" + string(t) + "_" + strings.ReplaceAll(id, "/", "_"), ChangeID: 1, RecordType: t, RecordID: id, Attempt: 1,
		EventType: destination.EventType(t, kind), Before: before.json(tb), Row: after.json(tb),
	}
}

func organization(tb testing.TB, before, after row) destination.Message {
	tb.Helper()
	return about(tb, record.Organization, fmt.Sprint(after["id"]), before, after)
}

// member is a membership of user_1 in an organization, which the mirror has as it is given; nil: it does not.
func member(tb testing.TB, of, before, after row) destination.Message {
	tb.Helper()
	id := "org_1"
	if of != nil {
		id = fmt.Sprint(of["id"])
	}
	m := about(tb, record.Membership, record.MembershipID(id, "user_1"), before, after)
	m.Organization = of.json(tb)
	return m
}

func joined() row { return row{"organization_id": "org_1", "user_id": "user_1", "role": "member"} }

// pairs are the associations, as in "ada@example.com – Acme".
func (b *testBundle) pairs() []string {
	out := []string{}
	for _, a := range b.portal.Associations() {
		out = append(out, b.portal.Contact(a.Contact)["email"]+" – "+b.portal.Company(a.Company)["name"])
	}
	return out
}

func (b *testBundle) companies() []map[string]string {
	out := []map[string]string{}
	for _, c := range b.portal.Companies() {
		out = append(out, c.Properties)
	}
	return out
}

func TestCompany(t *testing.T) {
	t.Parallel()

	t.Run("FollowsTheOrganization", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(`"properties": {"domain": ".organization.raw.domain"}, "on_delete": {"set": {"org_status": "deleted"}}, "on_restore": {"set": {"org_status": ""}}`))
		m := organization(t, nil, acme())
		id := b.delivered(t, m)
		require.Equal(t, id, b.delivered(t, m), "told again")
		require.Equal(t, []map[string]string{{companyProperty: "org_1", "name": "Acme"}}, b.companies(), "without a domain")

		renamed := acme().with("name", "Acme Ltd").with("raw", row{"domain": "acme.example"})
		m = organization(t, acme(), renamed)
		m.ExternalID = id
		require.Equal(t, id, b.delivered(t, m))
		require.Equal(t, map[string]string{companyProperty: "org_1", "name": "Acme Ltd", "domain": "acme.example"}, b.portal.Company(id))

		m = organization(t, renamed, renamed.gone())
		m.ExternalID = id
		b.delivered(t, m)
		require.Equal(t, "deleted", b.portal.Company(id)["org_status"])
		m = organization(t, renamed.gone(), renamed)
		m.ExternalID = id
		b.delivered(t, m)
		require.Empty(t, b.portal.Company(id)["org_status"])
	})

	t.Run("SameNameIsAnotherCompany", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		results := b.send(t, organization(t, nil, acme()), organization(t, nil, acme().with("id", "org_2")))
		require.NotEqual(t, *results[0].ExternalID, *results[1].ExternalID)
		require.Len(t, b.companies(), 2)
		require.Len(t, b.portal.Calls(), 1)
	})

	t.Run("WithoutANameItHasTheSlugOrTheID", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		nameless := acme().with("name", nil)
		b.delivered(t, organization(t, nil, nameless))
		b.delivered(t, organization(t, nil, nameless.with("id", "org_2").with("slug", nil)))
		require.Equal(t, []map[string]string{{companyProperty: "org_1", "name": "acme"}, {companyProperty: "org_2", "name": "org_2"}}, b.companies())
	})

	t.Run("RemovedByHandIsMadeAnewUnlessItIsToBeMissing", func(t *testing.T) {
		t.Parallel()
		for missing, outcome := range map[string]destination.Outcome{"create": destination.Delivered, "skip": destination.Delivered, "log": destination.GiveUp} {
			b := setup(t, withCompanies(`"missing": "`+missing+`"`))
			id := b.delivered(t, organization(t, nil, acme()))
			b.portal.RemoveCompany(id)
			m := organization(t, acme(), acme().with("name", "Acme Ltd"))
			m.ExternalID = id
			r := b.send1(t, m)
			require.Equal(t, outcome, r.Outcome, r.Reason)
			if missing == "create" {
				require.Equal(t, []map[string]string{{companyProperty: "org_1", "name": "Acme Ltd"}}, b.companies())
				continue
			}
			require.Contains(t, r.Reason, "the organization has no company")
			require.Empty(t, b.companies())
		}
	})

	t.Run("ArchivedAndFoundByItsOwnID", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(`"on_delete": "archive", "id_path": "raw.hubspot"`))
		known := b.portal.AddCompany(map[string]string{"name": "Typed by hand"})
		at := acme().with("raw", row{"hubspot": known})
		m := organization(t, nil, at)
		require.Equal(t, known, b.delivered(t, m))
		m = organization(t, at, at.gone())
		m.ExternalID = known
		require.Empty(t, b.delivered(t, m))
		require.Empty(t, b.companies())
	})

	t.Run("PropertyThatIsNotThereNamesItsOption", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(`"properties": {"plan": ".organization.raw.plan"}`))
		r := b.send1(t, organization(t, nil, acme().with("raw", row{"plan": "pro"})))
		require.Equal(t, destination.Pause, r.Outcome)
		require.Contains(t, r.Reason, `no company property "plan": make it there (Settings → Properties → Company properties)`)
		require.Contains(t, r.Reason, "the option companies.properties")
	})

	t.Run("OptionThatIsGoneSendsNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		for _, m := range []destination.Message{organization(t, nil, acme()), member(t, acme(), nil, joined())} {
			r := b.send1(t, m)
			require.Equal(t, destination.Delivered, r.Outcome)
			require.Contains(t, r.Reason, "companies is not set")
		}
		require.Empty(t, b.portal.Calls())
	})
}

func TestCompanyOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ options, says string }{
		"NoContactProperty":      {`{"companies": {"id_property": "org"}}`, "companies need id_property, the name of a contact property with unique values"},
		"NoCompanyProperty":      {`{"id_property": "u", "companies": {}}`, "companies need companies.id_property, the name of a company property"},
		"OtherContactID":         {`{"id_property": "u", "properties": {"u": ".user.raw.x"}, "companies": {"id_property": "org"}}`, `leave "u" out of properties, or map it to .user.id`},
		"OtherCompanyID":         {`{"id_property": "u", "companies": {"id_property": "org", "properties": {"org": ".x"}}}`, "or map it to .organization.id"},
		"Missing":                {`{"id_property": "u", "companies": {"id_property": "org", "missing": "no"}}`, `companies.missing is "no"`},
		"ExpressionOfAProperty":  {`{"id_property": "u", "companies": {"id_property": "org", "properties": {"city": ".["}}}`, "options.companies.properties.city"},
		"OptionThatIsNotThere":   {`{"id_property": "u", "companies": {"key": "org"}}`, `no field "key"`},
		"NotAnObject":            {`{"id_property": "u", "companies": true}`, "options.companies"},
		"DeletionThatIsNotThere": {`{"id_property": "u", "companies": {"id_property": "org", "on_delete": "x"}}`, `companies.on_delete is "nothing"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := hubspot.Type{}.New(destination.Config{
				Options: json.RawMessage(c.options), Secrets: destination.Secrets{Values: map[string]string{hubspot.TokenSecret: hubspottest.Token}},
			}, destination.Deps{})
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, c.says)
		})
	}
	capabilities := open(t, "http://hubspot.example", withCompanies(""), destination.Deps{}).Capabilities()
	require.Equal(t, []record.Type{record.User, record.Organization, record.Membership}, capabilities.RecordTypes)
	require.True(t, capabilities.Organizations)
	require.False(t, open(t, "http://hubspot.example", `{}`, destination.Deps{}).Capabilities().Organizations)
}

// A missing scope pauses the destination and is named, whichever request it is that lacks it.
func TestMissingCompanyScope(t *testing.T) {
	t.Parallel()
	scopes := []string{hubspottest.ReadScope, hubspottest.WriteScope, hubspottest.CompanyReadScope, hubspottest.CompanyWriteScope}
	for _, lacking := range scopes[2:] {
		b := setup(t, withCompanies(""))
		b.delivered(t, message(t, nil, ada()))
		var have []string
		for _, scope := range scopes {
			if scope != lacking {
				have = append(have, scope)
			}
		}
		b.portal.SetTokens(map[string][]string{hubspottest.Token: have})
		r := b.send1(t, member(t, acme(), nil, joined()))
		require.Equal(t, destination.Pause, r.Outcome)
		require.Contains(t, r.Reason, "HubSpot asks for "+lacking+".")
	}

	b := setup(t, withCompanies(""))
	b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Status: 403, Body: `{"message": "no"}`})
	require.Contains(t, b.send1(t, organization(t, nil, acme())).Reason, "asks for crm.objects.companies.read, crm.objects.companies.write. Add")
}
