package hubspot_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

const adaAcme = "ada@example.com – Acme"

func TestMembership(t *testing.T) {
	t.Parallel()

	t.Run("AssociatesAndEnds", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		results := b.send(t, member(t, acme(), nil, joined()), message(t, nil, ada()), organization(t, nil, acme()))
		for _, r := range results {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
		}
		require.Equal(t, []string{adaAcme}, b.pairs())
		pair := *results[0].ExternalID
		require.Equal(t, *results[1].ExternalID+"/"+*results[2].ExternalID, pair)

		m := member(t, acme(), joined(), joined().with("role", "admin"))
		m.ExternalID = pair
		calls := len(b.portal.Calls())
		require.Equal(t, pair, b.delivered(t, m))
		require.Len(t, b.portal.Calls(), calls, "an association has no role")

		m = member(t, acme(), joined(), joined().gone())
		m.ExternalID = pair
		require.Empty(t, b.delivered(t, m))
		require.Empty(t, b.pairs())
		require.Empty(t, b.delivered(t, m), "told again")
		require.Len(t, b.contacts(), 1)
		require.Len(t, b.companies(), 1)
		require.Empty(t, b.portal.Violations())
	})

	t.Run("MakesTheCompanyFromTheOrganizationAsItIs", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.delivered(t, message(t, nil, ada()))
		b.delivered(t, member(t, acme().with("name", "Acme Ltd"), nil, joined()))
		require.Equal(t, []map[string]string{{companyProperty: "org_1", "name": "Acme Ltd"}}, b.companies())
		// What waits of the organization meets a company that it did not make: it is told everything.
		b.delivered(t, organization(t, acme(), acme()))
		require.Equal(t, []string{adaAcme}, b.pairs())
		require.Len(t, b.companies(), 1)
	})

	t.Run("ComesBeforeItsOrganization", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.delivered(t, message(t, nil, ada()))
		b.delivered(t, member(t, nil, nil, joined()))
		require.Equal(t, []map[string]string{{companyProperty: "org_1", "name": "org_1"}}, b.companies())
		b.delivered(t, organization(t, nil, acme()))
		require.Equal(t, []string{adaAcme}, b.pairs())
	})

	t.Run("ComesBeforeItsContact", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		r := b.send1(t, member(t, acme(), nil, joined()))
		require.Equal(t, destination.Delivered, r.Outcome)
		require.Contains(t, r.Reason, "the user has no contact yet")
		require.Empty(t, b.contacts(), "a user whose changes are not sent gets none")
		m := message(t, nil, ada())
		m.OrganizationIDs = []string{"org_1", "org_unknown"}
		m.ExternalID = b.delivered(t, m)
		require.Equal(t, []string{adaAcme}, b.pairs())

		calls := len(b.portal.Calls())
		m.EventType, m.Before = destination.UserUpdated, ada().with(func(u *user) { u.First = "A" }).json(t)
		b.delivered(t, m)
		require.Len(t, b.portal.Calls(), calls+1, "a contact in sync is not associated again")
		b.portal.Remove(m.ExternalID)
		b.delivered(t, m)
		require.Equal(t, []string{adaAcme}, b.pairs(), "one that was removed by hand is")
	})

	t.Run("CompanyRemovedByHandIsMadeAnew", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.delivered(t, message(t, nil, ada()))
		m := member(t, acme(), nil, joined())
		m.ExternalID = b.delivered(t, m)
		b.portal.RemoveCompany(b.portal.Companies()[0].ID)
		m.Attempt = 2 // replayed
		require.NotEqual(t, m.ExternalID, b.delivered(t, m))
		require.Equal(t, []string{adaAcme}, b.pairs())
	})

	t.Run("CompanyOfADeletedOrganizationIsNotMade", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.delivered(t, message(t, nil, ada()))
		r := b.send1(t, member(t, acme().gone(), nil, joined()))
		require.Equal(t, destination.Delivered, r.Outcome)
		require.Contains(t, r.Reason, "the organization is deleted")
		require.Empty(t, b.companies())
	})

	t.Run("WaitsForACompanyThatIsNotToBeMade", func(t *testing.T) {
		t.Parallel()
		for missing, last := range map[string]destination.Outcome{"skip": destination.Delivered, "log": destination.GiveUp} {
			b := setup(t, withCompanies(`"missing": "`+missing+`"`))
			b.delivered(t, message(t, nil, ada()))
			m := member(t, acme(), nil, joined())
			for m.Attempt < 5 {
				r := b.send1(t, m)
				require.Equal(t, destination.Retry, r.Outcome)
				require.Contains(t, r.Reason, "has no company; it is tried again")
				m.Attempt++
			}
			r := b.send1(t, m)
			require.Equal(t, last, r.Outcome)
			require.Contains(t, r.Reason, "companies.missing is "+missing)
			b.delivered(t, organization(t, nil, acme()))
			b.delivered(t, m)
			require.Equal(t, []string{adaAcme}, b.pairs())
		}
	})

	t.Run("MergedContactsAndCompaniesAreFollowed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.send(t, message(t, nil, ada()), organization(t, nil, acme()))
		m := member(t, acme(), nil, joined())
		m.ExternalID = b.delivered(t, m)
		contact, company := b.portal.Contacts()[0].ID, b.portal.Companies()[0].ID
		into := b.portal.Add(map[string]string{"email": "merged@example.com"})
		b.portal.Merge(contact, into)
		b.portal.Set(into, map[string]string{idProperty: "user_1"})
		other := b.portal.AddCompany(map[string]string{"name": "Other"})
		b.portal.MergeCompany(company, other)
		m.EventType, m.Row = destination.EventType(record.Membership, record.Deleted), joined().gone().json(t)
		b.delivered(t, m)
		require.Empty(t, b.pairs())
	})

	t.Run("ReleasedContactLosesItUnlessAnotherUserHasIt", func(t *testing.T) {
		t.Parallel()
		for _, taken := range []bool{false, true} {
			b := setup(t, withCompanies(""))
			id := b.delivered(t, message(t, nil, ada()))
			m := member(t, acme(), nil, joined())
			m.ExternalID = b.delivered(t, m)
			over := message(t, ada(), gone(ada()))
			over.ExternalID = id
			b.delivered(t, over)
			if taken {
				b.delivered(t, message(t, nil, ada().with(func(u *user) { u.ID = "user_2" })))
			}
			m.EventType, m.Row = destination.EventType(record.Membership, record.Deleted), joined().gone().json(t)
			require.Empty(t, b.delivered(t, m))
			require.Equal(t, taken, len(b.pairs()) == 1)
		}
	})

	t.Run("WhatGoesWhileItIsAssociatedIsLookedForAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.send(t, message(t, nil, ada()), organization(t, nil, acme()))
		m := member(t, acme(), nil, joined())
		for _, refusal := range []hubspottest.Fault{
			{Kind: hubspottest.FaultBefore, Method: "PUT", Status: 404, Body: `{"message": "resource not found"}`},
			{Kind: hubspottest.FaultBefore, Method: "PUT", Status: 400, Body: `{"message": "no", "context": {"INVALID_OBJECT_IDS": ["COMPANY=1 is not valid"]}}`},
		} {
			b.portal.Fail(refusal)
			r := b.send1(t, m)
			require.Equal(t, destination.Retry, r.Outcome)
			require.Contains(t, r.Reason, "no longer has the contact or the company")
		}
		b.delivered(t, m)
		m.EventType = destination.EventType(record.Membership, record.Deleted)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Method: "DELETE", Status: 404, Body: `{"message": "resource not found"}`})
		b.delivered(t, m)
	})

	t.Run("AssociationThatHubSpotRefusesSaysWhy", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withCompanies(""))
		b.send(t, message(t, nil, ada()), organization(t, nil, acme()))
		refusal := hubspottest.Fault{Kind: hubspottest.FaultBefore, Method: "PUT", Status: 400, Body: `{"status": "error", "message": "The limit of associations is reached", "category": "VALIDATION_ERROR"}`}
		b.portal.Fail(refusal)
		r := b.send1(t, member(t, acme(), nil, joined()))
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "The limit of associations is reached")

		b.portal.Remove(b.portal.Contacts()[0].ID)
		b.portal.Fail(refusal)
		m := message(t, nil, ada())
		m.OrganizationIDs = []string{"org_1"}
		r = b.send1(t, m)
		require.Equal(t, destination.Delivered, r.Outcome, "the contact is as it should be")
		require.Contains(t, r.Reason, "not associated with the company of organization org_1")

		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Method: "PUT", Status: 502})
		m.Attempt = 2
		r = b.send1(t, m)
		require.Equal(t, destination.Retry, r.Outcome)
		require.NotEmpty(t, *r.ExternalID, "the contact is stored all the same")
	})
}

func TestMembershipBatch(t *testing.T) {
	t.Parallel()
	const count = 100
	fill := func(t *testing.T) (*testBundle, []destination.Message) {
		t.Helper()
		b := setup(t, withCompanies(""))
		users := newUsers(count)
		b.send(t, created(t, users)...)
		messages := make([]destination.Message, count)
		for i, u := range users {
			of := acme().with("id", fmt.Sprintf("org_%d", i%10))
			messages[i] = about(t, record.Membership, record.MembershipID(fmt.Sprint(of["id"]), u.ID), nil, joined())
			messages[i].Organization = of.json(t)
		}
		return b, messages
	}

	t.Run("HundredTakeFourCallsAndTwoMoreEnd", func(t *testing.T) {
		t.Parallel()
		b, messages := fill(t)
		calls := len(b.portal.Calls())
		for i, r := range b.send(t, messages...) {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
			messages[i].ExternalID = *r.ExternalID
			messages[i].EventType, messages[i].Row = destination.EventType(record.Membership, record.Deleted), joined().gone().json(t)
		}
		require.Len(t, b.portal.Calls(), calls+4, "contacts, companies, new companies, associations")
		require.Len(t, b.pairs(), count)
		require.Len(t, b.companies(), 10)
		for _, r := range b.send(t, messages...) {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
		}
		require.Len(t, b.portal.Calls(), calls+7)
		require.Empty(t, b.pairs())
		require.Empty(t, b.portal.Violations())
	})

	t.Run("RowsOfAPartialFailureGoAlone", func(t *testing.T) {
		t.Parallel()
		b, messages := fill(t)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Path: "/crm/v4", Status: 207, Body: `{"status": "COMPLETE", "results": [], "errors": [{"message": "no"}], "numErrors": 1}`})
		for _, r := range b.send(t, messages...) {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
		}
		require.Len(t, b.pairs(), count)
		require.Equal(t, count, b.portal.Count("PUT", "/crm/v4"))
	})

	t.Run("RefusedBatchIsBisected", func(t *testing.T) {
		t.Parallel()
		b, messages := fill(t)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Path: "/crm/v4", Status: 400, Body: `{"message": "no"}`})
		for _, r := range b.send(t, messages...) {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
		}
		require.Len(t, b.pairs(), count)
		require.Equal(t, 3, b.portal.Count("POST", "/crm/v4"))
	})

	t.Run("LimitHoldsBackWhatIsLeft", func(t *testing.T) {
		t.Parallel()
		b, messages := fill(t)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Path: "/crm/v4", Status: 429, Body: `{"message": "slow", "policyName": "SECONDLY"}`})
		for _, r := range b.send(t, messages...) {
			require.Equal(t, destination.Deferred, r.Outcome)
			require.True(t, r.Shared)
		}
		require.Empty(t, b.pairs())
	})
}
