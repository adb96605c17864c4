package hubspot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

func gone(u *user) *user { return u.with(func(u *user) { u.DeletedAt = "2026-05-04T03:02:01Z" }) }

func TestDelete(t *testing.T) {
	t.Parallel()
	const (
		flag    = `{"id_property": "authsync_user_id", "on_delete": {"set": {"user_status": "deleted", "phone": 0, "city": true}}, "on_restore": {"set": {"user_status": "active", "phone": null}}}`
		release = `{"id_property": "authsync_user_id", "on_delete": {"set": {"user_status": "deleted", "authsync_user_id": ""}}, "on_restore": {"set": {"user_status": ""}}}`
		archive = `{"id_property": "authsync_user_id", "on_delete": "archive", "missing": "skip"}`
	)

	t.Run("NothingIsDoneUnlessConfigured", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		m := message(t, ada(), gone(ada()))
		m.ExternalID = "123"
		r := b.send1(t, m)
		require.Equal(t, destination.Delivered, r.Outcome)
		require.Contains(t, r.Reason, "on_delete is nothing")
		require.Empty(t, b.calls())
	})

	t.Run("SetFlagsTheContactAndNothingElse", func(t *testing.T) {
		t.Parallel()
		for _, linked := range []bool{true, false} {
			b := setup(t, flag)
			created := message(t, nil, ada())
			id := b.delivered(t, created)
			m := message(t, ada(), gone(ada().with(func(u *user) { u.First = "Redacted" })))
			if linked {
				m.ExternalID = id
			}
			require.Equal(t, id, b.delivered(t, m))
			require.Equal(t, map[string]string{
				"email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace", idProperty: "user_1",
				"user_status": "deleted", "phone": "0", "city": "true",
			}, b.portal.Contact(id))
		}
	})

	t.Run("RestoredIsToldEverything", func(t *testing.T) {
		t.Parallel()
		b := setup(t, flag)
		m := message(t, nil, ada())
		m.ExternalID = b.delivered(t, m)
		renamed := ada().with(func(u *user) { u.First = "Augusta" })
		m.EventType, m.Row, m.Before = destination.UserDeleted, gone(renamed).json(t), ada().json(t)
		b.delivered(t, m)
		back := message(t, gone(renamed), renamed)
		back.ExternalID = m.ExternalID
		b.delivered(t, back)
		require.Equal(t, "active", b.portal.Contact(m.ExternalID)["user_status"])
		require.Equal(t, "Augusta", b.portal.Contact(m.ExternalID)["firstname"], "changed while the user was deleted")
	})

	t.Run("NoContactIsMadeForADeletedUser", func(t *testing.T) {
		t.Parallel()
		for _, options := range []string{flag, archive} {
			b := setup(t, options)
			m := message(t, nil, gone(ada()))
			m.ExternalID = "77"
			require.Empty(t, b.delivered(t, m), "what is not there is forgotten")
			require.Empty(t, b.contacts())
		}
	})

	t.Run("ArchiveRemovesAndRestoredIsMadeAnew", func(t *testing.T) {
		t.Parallel()
		b := setup(t, archive)
		m := message(t, nil, ada())
		m.ExternalID = b.delivered(t, m)
		d := message(t, ada(), gone(ada()))
		d.ExternalID = m.ExternalID
		require.Empty(t, b.delivered(t, d))
		require.Empty(t, b.contacts())
		require.Empty(t, b.delivered(t, d), "told again")
		require.NotEmpty(t, b.delivered(t, message(t, gone(ada()), ada())))
		require.Len(t, b.contacts(), 1)
	})

	t.Run("StrangerArchivesNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, archive)
		m := message(t, nil, ada())
		d := message(t, ada(), gone(ada()))
		d.ExternalID = b.delivered(t, m)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Status: 200, Body: "<html>sign in</html>"})
		require.Equal(t, destination.Retry, b.send1(t, d).Outcome)
		require.Len(t, b.contacts(), 1)
	})

	t.Run("ReleasedContactIsTakenByTheNextUserWithTheAddress", func(t *testing.T) {
		t.Parallel()
		b := setup(t, release)
		m := message(t, nil, ada())
		id := b.delivered(t, m)
		d := message(t, ada(), gone(ada()))
		d.ExternalID = id
		require.Empty(t, b.delivered(t, d), "a released contact is forgotten")
		require.Equal(t, id, b.delivered(t, message(t, nil, ada().with(func(u *user) { u.ID = "user_2" }))))
		taken := map[string]string{"email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace", idProperty: "user_2"}
		require.Equal(t, taken, b.portal.Contact(id), "and is no longer flagged")

		d.Attempt = 2 // the first was not recorded, so that the contact is still remembered
		require.Empty(t, b.delivered(t, d))
		d.ExternalID = ""
		require.Empty(t, b.delivered(t, d))
		require.Equal(t, taken, b.portal.Contact(id))
	})
}

func TestUserWhoIsBackBeforeTheDeletionIsRecordedHasItsContact(t *testing.T) {
	t.Parallel()
	b := setup(t, `{"id_property": "authsync_user_id", "on_delete": {"set": {"authsync_user_id": ""}}}`)
	id := b.delivered(t, message(t, nil, ada()))
	m := message(t, ada(), gone(ada()))
	m.ExternalID = id
	b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultAfter})
	require.Equal(t, destination.Retry, b.send1(t, m).Outcome)
	require.Empty(t, b.portal.Contact(id)[idProperty])
	back := message(t, ada(), ada()) // both changes united: gone and back
	back.ExternalID, back.Attempt = id, 2
	require.Equal(t, id, b.delivered(t, back))
	require.Equal(t, "user_1", b.portal.Contact(id)[idProperty])

	require.Equal(t, destination.Retry, func() destination.Outcome {
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultAfter})
		return b.send1(t, m).Outcome
	}())
	b.delivered(t, message(t, nil, ada().with(func(u *user) { u.ID = "user_2" }))) // has taken it meanwhile
	require.Equal(t, destination.Retry, b.send1(t, back).Outcome)
	require.Equal(t, "user_2", b.portal.Contact(id)[idProperty])
}

func TestChange(t *testing.T) {
	t.Parallel()
	known := func(t *testing.T, options string) (*testBundle, string) {
		t.Helper()
		b := setup(t, options)
		return b, b.delivered(t, message(t, nil, ada()))
	}

	t.Run("EmptyValueOverwritesNothing", func(t *testing.T) {
		t.Parallel()
		b, id := known(t, `{}`)
		m := message(t, ada(), ada().with(func(u *user) { u.Email, u.First, u.Last = "new@example.com", "", " " }))
		m.ExternalID = id
		b.delivered(t, m)
		require.Equal(t, map[string]string{"email": "new@example.com", "firstname": "Ada", "lastname": "Lovelace"}, b.portal.Contact(id))
	})

	t.Run("WhatIsNotMappedTakesNoCall", func(t *testing.T) {
		t.Parallel()
		b, id := known(t, `{}`)
		calls := len(b.calls())
		for _, link := range []string{id, ""} {
			m := message(t, ada(), ada().with(func(u *user) { u.Raw = map[string]any{"logins": 2} }))
			m.ExternalID = link
			r := b.send1(t, m)
			require.Equal(t, destination.Delivered, r.Outcome)
			require.Contains(t, r.Reason, "no mapped property")
		}
		require.Len(t, b.calls(), calls)
	})

	t.Run("SecondAttemptSaysAllBecauseTheFirstMayHaveArrived", func(t *testing.T) {
		t.Parallel()
		b, id := known(t, withID)
		away := message(t, ada(), ada().with(func(u *user) { u.First = "Augusta" }))
		away.ExternalID = id
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultAfter})
		require.Equal(t, destination.Retry, b.send1(t, away).Outcome)
		back := message(t, ada(), ada()) // both changes united: away and back
		back.ExternalID, back.Attempt = id, 2
		b.delivered(t, back)
		require.Equal(t, "Ada", b.portal.Contact(id)["firstname"])
	})

	t.Run("ValuesAreTextsOfAllKinds", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"properties": {"firstname": null, "lastname": null, "company": ".user.raw.n", "city": ".user.raw.yes", "phone": ".user.raw.list",
			"website": "empty", "lifecyclestage": ".user.raw.none", "hs_lead_status": "if .type == \"user.created\" then \"NEW\" else null end"}}`)
		u := ada().with(func(u *user) {
			u.Raw = map[string]any{"n": 12345678901234567, "yes": false, "list": []any{"a", 2}}
		})
		id := b.delivered(t, message(t, nil, u))
		require.Equal(t, map[string]string{
			"email": "ada@example.com", "company": "12345678901234567", "city": "false", "phone": "a;2", "hs_lead_status": "NEW",
		}, b.portal.Contact(id))
	})

	t.Run("ExpressionThatFailsOnAUserConcernsNobodyElse", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"properties": {"email": ".user.email", "city": ".user.raw.city + 1", "phone": ".user.raw.phone"}}`)
		bad := ada().with(func(u *user) { u.Raw = map[string]any{"city": "x"} })
		object := ada().with(func(u *user) { u.ID, u.Raw = "user_3", map[string]any{"phone": map[string]any{}} })
		r := b.send(t, message(t, nil, bad), message(t, nil, ada().with(func(u *user) { u.ID = "user_2" })), message(t, nil, object))
		require.Equal(t, destination.GiveUp, r[0].Outcome)
		require.Contains(t, r[0].Reason, "city")
		require.Equal(t, destination.Delivered, r[1].Outcome)
		require.Equal(t, destination.GiveUp, r[2].Outcome)
		require.Contains(t, r[2].Reason, "phone gives an object")
	})

	t.Run("AddressOfAnotherContactHoldsBackTheAddressOnly", func(t *testing.T) {
		t.Parallel()
		b, id := known(t, withID)
		other := b.portal.Add(map[string]string{"email": "new@example.com"})
		m := message(t, ada(), ada().with(func(u *user) { u.Email, u.First = "new@example.com", "Augusta" }))
		m.ExternalID = id
		r := b.send1(t, m)
		require.Equal(t, destination.Retry, r.Outcome)
		m.Attempt = 5
		r = b.send1(t, m)
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "contact "+id+" cannot get the user's e-mail address, which contact "+other+" has: merge the two")
		require.Equal(t, "Augusta", b.portal.Contact(id)["firstname"])
		b.portal.Remove(other)
		b.delivered(t, m)
		require.Equal(t, "new@example.com", b.portal.Contact(id)["email"])
	})
}

// An erasure is HubSpot's own, for ever, whatever on_delete is. It has the user's id and nothing else.
func TestErase(t *testing.T) {
	t.Parallel()
	erased := func(link string) destination.Message {
		return destination.Message{
			ID: "msg_1", ChangeID: 7, RecordType: "user", RecordID: "user_1", EventType: destination.UserErased,
			Row: []byte(`{"id": "user_1", "raw": null}`), Changed: []string{}, Attempt: 1, ExternalID: link,
		}
	}
	t.Run("TheStoredContact", func(t *testing.T) {
		t.Parallel()
		for _, options := range []string{withID, `{}`} {
			b := setup(t, options)
			id := b.delivered(t, message(t, nil, ada()))
			r := b.send1(t, erased(id))
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
			require.NotNil(t, r.ExternalID)
			require.Empty(t, *r.ExternalID, "it is forgotten")
			require.Empty(t, b.contacts())
			require.Equal(t, 1, b.portal.Count("POST", hubspottest.Contacts+"/gdpr-delete"))
			require.Equal(t, destination.Delivered, b.send1(t, erased(id)).Outcome, "told again")
		}
	})
	t.Run("TheContactOfItsProperty", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		b.delivered(t, message(t, nil, ada()))
		require.Equal(t, destination.Delivered, b.send1(t, erased("")).Outcome)
		require.Empty(t, b.contacts())
	})
	t.Run("AnotherUsersContactStays", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		id := b.portal.Add(map[string]string{"email": "ada@example.com", idProperty: "user_2"})
		r := b.send1(t, erased(id))
		require.Equal(t, destination.Delivered, r.Outcome)
		require.Contains(t, r.Reason, "another user's")
		require.Len(t, b.contacts(), 1)
	})
	t.Run("NoContactIsFoundByAnAddress", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		b.delivered(t, message(t, nil, ada()))
		r := b.send1(t, erased(""))
		require.Equal(t, destination.Delivered, r.Outcome)
		require.Contains(t, r.Reason, "no contact of the user")
		require.Len(t, b.contacts(), 1)
	})
	t.Run("AmongOthers", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		users := newUsers(3)
		users[1].ID = "user_7" // user_1 is erased
		id := b.delivered(t, message(t, nil, ada()))
		results := b.send(t, append(created(t, users), erased(id))...)
		for _, r := range results {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
		}
		require.Len(t, b.contacts(), 3)
	})
}
