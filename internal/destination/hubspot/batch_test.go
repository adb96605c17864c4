package hubspot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
)

// newUsers is n new users.
func newUsers(n int) []*user {
	out := make([]*user, n)
	for i := range out {
		id := fmt.Sprintf("user_%d", i)
		out[i] = &user{ID: id, Email: id + "@example.com", First: "First", Last: id}
	}
	return out
}

func created(tb testing.TB, users []*user) []destination.Message {
	tb.Helper()
	out := make([]destination.Message, len(users))
	for i, u := range users {
		out[i] = message(tb, nil, u)
	}
	return out
}

// requireOwn requires that every message was delivered, to the contact of its own user.
func requireOwn(tb testing.TB, b *testBundle, users []*user, results []destination.Result) {
	tb.Helper()
	for i, r := range results {
		require.Equal(tb, destination.Delivered, r.Outcome, r.Reason)
		require.NotNil(tb, r.ExternalID)
		require.Equal(tb, strings.ToLower(users[i].Email), b.portal.Contact(*r.ExternalID)["email"])
		require.NotContains(tb, r.Response, "results", "a row has an answer of its own")
	}
	require.Len(tb, b.contacts(), len(users))
	require.Empty(tb, b.portal.Violations())
}

func TestBatch(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"ByProperty": withID, "ByAddress": `{}`} {
		t.Run("HundredNewUsersTakeOneCall"+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options)
			users := newUsers(100)
			messages := created(t, users)
			requireOwn(t, b, users, b.send(t, messages...))
			require.Equal(t, []string{"POST /batch/upsert 200"}, b.calls())
			requireOwn(t, b, users, b.send(t, messages...)) // the same again, as after a crash
			require.Len(t, b.calls(), 2)
		})

		t.Run("WhatABatchDoesNotTakeGoesAlone"+name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, options)
			users := newUsers(60)
			b.portal.Add(map[string]string{"email": "someone@example.com"}, users[3].Email)
			users[7].Email = "no address"
			results := b.send(t, created(t, users)...)
			for i, r := range results {
				if i == 7 {
					require.Equal(t, destination.GiveUp, r.Outcome)
					require.Contains(t, r.Reason, "property email (INVALID_EMAIL)")
					continue
				}
				require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
				require.Equal(t, users[i].Email, b.portal.Contact(*r.ExternalID)["email"])
			}
			require.Len(t, b.contacts(), 59)
			require.Empty(t, b.portal.Violations())
			require.Less(t, len(b.calls()), 40, "most still share a call")
		})
	}

	t.Run("RememberedContactsAreUpdatedTogether", func(t *testing.T) {
		t.Parallel()
		b := setup(t, withID)
		users := newUsers(100)
		results := b.send(t, created(t, users)...)
		changes := make([]destination.Message, len(users))
		for i, u := range users {
			changes[i] = message(t, u, u.with(func(u *user) { u.First = "Changed" }))
			changes[i].ExternalID = *results[i].ExternalID
		}
		changes[5].ExternalID = "55"                  // not there: found by its property
		changes[6].ExternalID = changes[7].ExternalID // nor can two rows be about one contact
		into := b.portal.Add(map[string]string{"phone": "1"})
		b.portal.Merge(changes[8].ExternalID, into)
		after := b.send(t, changes...)
		for i, r := range after {
			require.Equal(t, destination.Delivered, r.Outcome, r.Reason)
			require.Equal(t, "Changed", b.portal.Contact(*r.ExternalID)["firstname"])
			switch i {
			case 6: // by what was remembered, wrongly
			case 8:
				require.Equal(t, into, *r.ExternalID)
			default:
				require.Equal(t, *results[i].ExternalID, *r.ExternalID)
			}
		}
		require.Empty(t, b.portal.Violations())
		require.Equal(t, 1, b.portal.Count("POST", hubspottest.Contacts+"/batch/update"))
	})

	t.Run("MessagesThatHangOnWhatIsFoundGoAlone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"id_property": "authsync_user_id", "id_path": "raw.hubspot", "on_delete": {"set": {"user_status": "gone"}}}`)
		users := newUsers(4)
		byPath := b.portal.Add(map[string]string{"phone": "1"})
		byOld := b.portal.Add(map[string]string{"email": "old@example.com"})
		users[0].Raw = map[string]any{"hubspot": byPath}
		messages := created(t, users)
		messages[1] = message(t, users[1].with(func(u *user) { u.Email = "old@example.com" }), users[1])
		messages[2] = message(t, users[2], gone(users[2]))
		results := b.send(t, messages...)
		require.Equal(t, byPath, *results[0].ExternalID)
		require.Equal(t, byOld, *results[1].ExternalID)
		require.Empty(t, *results[2].ExternalID)
		require.Len(t, b.contacts(), 3)
	})

	t.Run("TwoUsersWithOneAddressShareAContact", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{}`)
		users := newUsers(4)
		users[2].Email = "USER_1@example.com"
		results := b.send(t, created(t, users)...)
		require.Equal(t, *results[1].ExternalID, *results[2].ExternalID)
		require.Len(t, b.contacts(), 3)
		require.Empty(t, b.portal.Violations())
	})

	t.Run("UnknownPropertyPausesWithoutBisecting", func(t *testing.T) {
		t.Parallel()
		b := setup(t, `{"properties": {"email": ".user.email", "planet": "\"earth\""}}`)
		for _, r := range b.send(t, created(t, newUsers(50))...) {
			require.Equal(t, destination.Pause, r.Outcome)
			require.Contains(t, r.Reason, `HubSpot has no contact property "planet": make it there`)
			require.Contains(t, r.Reason, "take it out of the option properties")
		}
		require.Len(t, b.calls(), 1)
		require.Empty(t, b.contacts())
	})

	t.Run("RowsWithoutAResultGoAlone", func(t *testing.T) {
		t.Parallel()
		for _, body := range []string{`{}`, `{"status":"COMPLETE","results":[]}`, `{"results":[{"id":""},{"objectWriteTraceId":"msg_user_0"},7]}`, `[]`} {
			b := setup(t, withID)
			users := newUsers(3)
			b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Status: 207, Body: body})
			for i, r := range b.send(t, created(t, users)...) {
				if r.Outcome == destination.Retry { // it has a row, and the row no contact
					require.Contains(t, r.Reason, "names no contact")
					continue
				}
				require.Equal(t, users[i].Email, b.portal.Contact(*r.ExternalID)["email"])
			}
		}
	})
}
