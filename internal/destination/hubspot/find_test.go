package hubspot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

const withID = `{"id_property": "authsync_user_id"}`

func TestFind(t *testing.T) {
	t.Parallel()

	t.Run("NewUserIsLookedForAndMade", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		link := b.delivered(t, message(t, nil, ada()))
		require.Equal(t, map[string]string{
			"email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace", idProperty: "user_1",
		}, b.portal.Contact(link))
		require.Equal(t, []string{"GET /user_1 404", "GET /ada@example.com 404", "POST  201"}, b.calls())
	})

	t.Run("RememberedContactTakesOneCallWithWhatChanged", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		m := message(t, nil, ada())
		m.ExternalID = b.delivered(t, m)
		b.portal.Remove(m.ExternalID)
		m.ExternalID = b.portal.Add(map[string]string{"email": "ada@example.com", "firstname": "Augusta", "lastname": "typed by hand"})
		next := message(t, ada(), ada().with(func(u *user) { u.First = "Augusta Ada" }))
		next.ExternalID = m.ExternalID
		require.Equal(t, m.ExternalID, b.delivered(t, next))
		require.Equal(t, "typed by hand", b.portal.Contact(m.ExternalID)["lastname"])
		require.Equal(t, "Augusta Ada", b.portal.Contact(m.ExternalID)["firstname"])
		require.JSONEq(t, `{"properties": {"firstname": "Augusta Ada"}}`, string(b.portal.Calls()[3].Body))
	})

	t.Run("UniquePropertyComesBeforeTheAddress", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		id := b.portal.Add(map[string]string{"email": "old@example.com", idProperty: "user_1"})
		require.Equal(t, id, b.delivered(t, message(t, nil, ada())))
		require.Equal(t, "ada@example.com", b.portal.Contact(id)["email"])
	})

	t.Run("IDInTheUserComesBeforeTheAddress", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"id_path": "raw.app_metadata.hubspot_contact_id"}`)
		byEmail := b.portal.Add(map[string]string{"email": "someone@example.com"})
		id := b.portal.Add(map[string]string{"email": "ada@example.com"})
		for _, value := range []any{id, 102} { // a text or a number
			u := ada().with(func(u *user) {
				u.Email = "someone@example.com"
				u.Raw = map[string]any{"app_metadata": map[string]any{"hubspot_contact_id": value}}
			})
			r := b.send1(t, message(t, nil, u))
			require.Equal(t, destination.Retry, r.Outcome)
			require.Contains(t, r.Reason, "which contact "+byEmail+" has")
			require.Equal(t, id, *r.ExternalID)
			require.Equal(t, "Ada", b.portal.Contact(id)["firstname"], "the rest is written all the same")
		}
	})

	t.Run("NonsenseAtThePathIsNoID", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"id_path": "raw.hubspot"}`)
		for _, value := range []any{"", "12/../34", nil, 1.5, true, map[string]any{}, "x"} {
			u := ada().with(func(u *user) { u.Raw = map[string]any{"hubspot": value} })
			b.delivered(t, message(t, nil, u))
		}
		require.Len(t, b.contacts(), 1)
	})

	t.Run("AddressIsFoundWhateverItsCase", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		id := b.portal.Add(map[string]string{"email": "ada@example.com", "phone": "123"})
		require.Equal(t, id, b.delivered(t, message(t, nil, ada().with(func(u *user) { u.Email = "Ada@Example.com" }))))
		require.Equal(t, "123", b.portal.Contact(id)["phone"])
	})

	t.Run("SecondAddressIsFoundByTheConflict", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		id := b.portal.Add(map[string]string{"email": "countess@example.com"}, "ada@example.com")
		require.Equal(t, id, b.delivered(t, message(t, nil, ada())))
		require.Len(t, b.contacts(), 1)
		require.Equal(t, "user_1", b.portal.Contact(id)[idProperty])
	})

	t.Run("ChangedAddressFindsTheContactByTheOldOne", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		id := b.portal.Add(map[string]string{"email": "ada@example.com"})
		require.Equal(t, id, b.delivered(t, message(t, ada(), ada().with(func(u *user) { u.Email = "new@example.com" }))))
		require.Equal(t, []map[string]string{{"email": "new@example.com", "firstname": "Ada", "lastname": "Lovelace"}}, b.contacts())
	})

	t.Run("ContactOfAnotherUserIsNotTaken", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		id := b.portal.Add(map[string]string{"email": "ada@example.com", idProperty: "user_2"})
		m := message(t, nil, ada())
		r := b.send1(t, m)
		require.Equal(t, destination.Retry, r.Outcome)
		require.Nil(t, r.ExternalID)
		m.Attempt = 5
		r = b.send1(t, m)
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "contact "+id+" has the user's e-mail address, and is another user's by its property authsync_user_id")
		require.Equal(t, []map[string]string{{"email": "ada@example.com", idProperty: "user_2"}}, b.contacts())
	})

	t.Run("NorIsOneWithTheAddressAsItsSecond", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		id := b.portal.Add(map[string]string{"email": "countess@example.com", idProperty: "user_2"}, "ada@example.com")
		r := b.send1(t, message(t, nil, ada()))
		require.Equal(t, destination.Retry, r.Outcome)
		require.Contains(t, r.Reason, "contact "+id+" has the user's e-mail address")
		require.Equal(t, "user_2", b.portal.Contact(id)[idProperty])
	})

	t.Run("RaceToMakeAContactEndsInOne", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		// Neither look finds what another run has just made; the refusal names it.
		id := b.portal.Add(map[string]string{"email": "ada@example.com", idProperty: "user_1"})
		for range 2 {
			b.portal.Fail(hubspottest.Fault{
				Kind: hubspottest.FaultBefore, Method: "GET", Status: 404,
				Body: `{"status":"error","message":"resource not found","category":"OBJECT_NOT_FOUND"}`,
			})
		}
		require.Equal(t, id, b.delivered(t, message(t, nil, ada())))
		require.Equal(t, []string{
			"GET /user_1 404", "GET /ada@example.com 404", "POST  400", "GET /" + id + " 200", "PATCH /" + id + " 200",
		}, b.calls())
	})

	t.Run("UserWithoutAnyKeyIsNotMade", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		r := b.send1(t, message(t, nil, ada().with(func(u *user) { u.Email = "" })))
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "set the option id_property")
		require.Empty(t, b.calls())

		b = setup(t, withID)
		b.delivered(t, message(t, nil, ada().with(func(u *user) { u.Email = "" })))
		require.Equal(t, []map[string]string{{"firstname": "Ada", "lastname": "Lovelace", idProperty: "user_1"}}, b.contacts())
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	change := func(t *testing.T) destination.Message {
		t.Helper()
		m := message(t, ada(), ada().with(func(u *user) { u.First = "Augusta" }))
		m.ExternalID = "55" // deleted in HubSpot
		return m
	}

	t.Run("CreateMakesItWithAllThereIs", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		link := b.delivered(t, change(t))
		require.NotEqual(t, "55", link)
		require.Equal(t, []map[string]string{{"email": "ada@example.com", "firstname": "Augusta", "lastname": "Lovelace"}}, b.contacts())
	})

	t.Run("SkipForgetsTheContact", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"missing": "skip"}`)
		require.Empty(t, b.delivered(t, change(t)))
		require.Empty(t, b.contacts())
	})

	t.Run("SkipHoldsForMany", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"missing": "skip", "id_property": "authsync_user_id"}`)
		var changes []destination.Message
		for _, u := range newUsers(3) {
			changes = append(changes, message(t, u, u.with(func(u *user) { u.First = "Changed" })))
		}
		for _, r := range b.send(t, changes...) {
			require.Equal(t, destination.Delivered, r.Outcome)
			require.Contains(t, r.Reason, "missing is skip")
		}
		require.Empty(t, b.contacts())
	})

	t.Run("LogFailsTheDelivery", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"missing": "log"}`)
		r := b.send1(t, change(t))
		require.Equal(t, destination.GiveUp, r.Outcome)
		require.Contains(t, r.Reason, "make or restore the contact in HubSpot")
		require.Empty(t, b.contacts())
	})

	t.Run("NewUserIsMadeWhateverTheOption", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"missing": "skip"}`)
		b.delivered(t, message(t, nil, ada()))
		require.Len(t, b.contacts(), 1)
	})

	t.Run("MergedContactIsFollowed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"missing": "skip"}`)
		m := change(t)
		m.ExternalID = b.portal.Add(map[string]string{"email": "ada@example.com"})
		into := b.portal.Add(map[string]string{"email": "countess@example.com"})
		b.portal.Merge(m.ExternalID, into)
		require.Equal(t, into, b.delivered(t, m))
		require.Equal(t, "Augusta", b.portal.Contact(into)["firstname"])
	})

	t.Run("NotFoundOfAStrangerProvesNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		m := change(t)
		b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Status: 404, Body: "<html>404</html>"})
		r := b.send1(t, m)
		require.Equal(t, destination.Retry, r.Outcome)
		require.Nil(t, r.ExternalID)
		require.Empty(t, b.contacts())
	})
}
