package mirror_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// second is a time of the clock by which messages are received.
func second(n float64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n * float64(time.Second)))
}

// iso and ms print such a time in a body.
func iso(n float64) string { return second(n).Format("2006-01-02T15:04:05.000Z07:00") }

func ms(n float64) string { return strconv.FormatInt(second(n).UnixMilli(), 10) }

// message is a body that a provider sent, and when it was received.
type message struct {
	of   provider.Provider
	at   float64
	body string
}

func decode(messages []message) []mirror.Event {
	var events []mirror.Event
	for i, m := range messages {
		d := provider.Message{InboxID: int64(i + 1), ReceivedAt: second(m.at), Body: []byte(m.body)}
		if m.of.Name() == provider.Clerk {
			d.MessageID = fmt.Sprint("msg_", i)
		}
		for _, e := range m.of.Decode(d, provider.Options{}) {
			events = append(events, mirror.Event{Event: e, Provider: m.of.Name(), InboxID: d.InboxID, ReceivedAt: d.ReceivedAt})
		}
	}
	return events
}

// TestWithoutAClock states what a sender that gives no clock ends in, whatever the order in
// which the worker applies what was received.
func TestWithoutAClock(t *testing.T) {
	t.Parallel()
	better := func(at float64, event, user string) message {
		return message{betterauth.New(), at, fmt.Sprintf(`{"event":"user.%s","user":{"id":"u1",%s}}`, event, user)}
	}
	profile := func(email string, updatedAt float64) string {
		return fmt.Sprintf(`"email":%q,"updatedAt":%q`, email, iso(updatedAt))
	}
	short := func(at float64, event, user string) message {
		return message{auth0.New(), at, fmt.Sprintf(`{"type":"user.%s","user":{"user_id":"u1"%s}}`, event, user)}
	}
	array := func(at float64, events ...message) message {
		var bodies []string
		for _, e := range events {
			bodies = append(bodies, e.body)
		}
		return message{auth0.New(), at, "[" + strings.Join(bodies, ",") + "]"}
	}
	clerkEvent := func(at float64, event, envelope, user string) message {
		return message{clerk.New(), at, fmt.Sprintf(`{"type":"user.%s"%s,"data":{"id":"u1"%s}}`, event, envelope, user)}
	}
	const gone = "gone"
	for name, c := range map[string]struct {
		messages []message
		want     string // the e-mail address, or that the user is gone
	}{
		"DeletionAfterAChangeStampedThreeSecondsAhead": {[]message{
			better(0, "updated", profile("a", 3)), better(1, "deleted", profile("a", 3)),
		}, gone},
		"DeletionAfterAChangeStampedAMinuteAhead": {[]message{
			better(0, "created", profile("a", 59.9)), better(1, "deleted", profile("a", 59.9)),
		}, gone},
		"DeletionAfterAChangeStampedAnHourAhead": {[]message{
			better(0, "created", profile("a", 3600)), better(0.5, "deleted", profile("a", 3600)),
		}, gone},
		"DeletionAfterAChangeOfTheSameMicrosecond": {[]message{
			better(0, "created", profile("a", 5)), better(0.000001, "deleted", `"email":"a"`),
		}, gone},
		"DelayedChangeOlderThanWhatTheDeletionFollowed": {[]message{
			better(0, "updated", profile("new", 3)), better(1, "deleted", `"email":"new"`), better(2, "updated", profile("old", 2)),
		}, gone},
		"ChangeBeforeTheDeletionByItsClock": {[]message{
			better(1, "deleted", `"email":"a"`), better(5, "updated", profile("a", 0.5)),
		}, gone},
		"RestoredLaterByItsClock": {[]message{
			better(0, "created", profile("a", 3)), better(1, "deleted", `"email":"a"`), better(2, "created", profile("back", 5)),
		}, "back"},
		"RestoredWithoutAClock": {[]message{
			better(0, "created", `"email":"a"`), better(1, "deleted", `"email":"a"`), better(2, "created", `"email":"back"`),
		}, "back"},
		"RestoredAndDeletedAgainWithoutAClock": {[]message{
			better(0, "deleted", `"email":"a"`), better(1, "created", `"email":"back"`), better(2, "deleted", `"email":"back"`),
		}, gone},
		"RestoredWithoutAClockAfterADeletionStampedAhead": {[]message{
			{betterauth.New(), 0, fmt.Sprintf(`{"event":"user.deleted","timestamp":%q,"user":{"id":"u1"}}`, iso(30))},
			better(1, "created", `"email":"back"`),
		}, "back"},
		"ChangeWithoutAClockAfterOneStampedAhead": {[]message{
			better(0, "created", profile("a", 30)), better(1, "updated", `"email":"new"`),
		}, "new"},
		"ChangeWithoutAClockBeforeOneWith": {[]message{
			better(0, "created", `"email":"a"`), better(1, "updated", profile("new", 1)),
		}, "new"},
		"ChangeWithoutAClockBetweenTwoStampedAhead": {[]message{
			better(0, "updated", profile("a", 30)), better(1, "updated", `"email":"b"`), better(2, "updated", profile("c", 32)),
		}, "c"},
		"ChangeWithoutAClockAfterOneThatOvertookAnother": {[]message{
			better(0, "updated", profile("a", 3)), better(1, "updated", `"email":"b"`), better(2, "updated", profile("delayed", 2)),
		}, "b"},
		"DeletionLongAfter": {[]message{
			better(0, "created", profile("a", -86400)), better(1, "deleted", profile("a", -86400)),
		}, gone},
		"Auth0ShortForm": {[]message{
			short(0, "updated", fmt.Sprintf(`,"email":"a","updated_at":%q`, iso(3))), short(1, "deleted", ""),
		}, gone},
		"Auth0UnreadableDeletedAt": {[]message{
			short(0, "updated", fmt.Sprintf(`,"email":"a","updated_at":%q`, iso(3))), short(1, "deleted", `,"deleted_at":"just now"`),
		}, gone},
		"Auth0DeletedAtInTheFuture": {[]message{
			short(0, "updated", fmt.Sprintf(`,"email":"a","updated_at":%q`, iso(3))), short(1, "deleted", `,"deleted_at":"2031-01-01T00:00:00Z"`),
		}, gone},
		"Auth0ArrayThatEndsInTheDeletion": {[]message{
			array(0, short(0, "updated", fmt.Sprintf(`,"email":"a","updated_at":%q`, iso(3))), short(0, "deleted", "")),
		}, gone},
		"Auth0ArrayThatBeginsWithTheDeletion": {[]message{
			array(0, short(0, "deleted", ""), short(0, "created", fmt.Sprintf(`,"email":"back","updated_at":%q`, iso(3)))),
		}, "back"},
		"Auth0ArrayWithoutAnyClock": {[]message{array(0, slices.Concat(
			[]message{short(0, "created", `,"email":"0"`), short(0, "deleted", "")},
			slices.Repeat([]message{short(0, "created", `,"email":"x"`), short(0, "deleted", "")}, 6), // past #9
			[]message{short(0, "created", `,"email":"last"`)},
		)...)}, "last"},
		"Auth0LogEntryWithoutADate": {[]message{
			short(0, "updated", fmt.Sprintf(`,"email":"a","updated_at":%q`, iso(3))),
			{auth0.New(), 1, `{"log_id":"l1","data":{"type":"sdu","date":"now","user_id":"u1"}}`},
		}, gone},
		"ClerkWithoutATimestamp": {[]message{
			clerkEvent(0, "updated", "", `,"first_name":"A","updated_at":`+ms(3)), clerkEvent(1, "deleted", "", `,"deleted":true`),
		}, gone},
		"ClerkWithATimestampAhead": {[]message{
			clerkEvent(0, "updated", `,"timestamp":`+ms(59), `,"first_name":"A","updated_at":`+ms(59)),
			clerkEvent(1, "deleted", `,"timestamp":`+ms(62), `,"deleted":true`),
		}, gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			events := decode(c.messages)
			for i := range events {
				require.Equal(t, "u1", events[i].UserID, events[i].Reason)
			}
			reversed := slices.Clone(events)
			slices.Reverse(reversed)
			last := append(slices.Clone(events[1:]), events[0])
			for order, arrived := range map[string][]mirror.Event{"InTheirOrder": events, "Reversed": reversed, "TheFirstOneLast": last} {
				for _, batched := range []bool{true, false} {
					user := fmt.Sprint(order, batched)
					arrived := slices.Clone(arrived)
					for i := range arrived {
						arrived[i].UserID = user
					}
					if batched {
						apply(t, pool, arrived)
					} else {
						for _, e := range arrived {
							apply(t, pool, []mirror.Event{e})
						}
					}
					require.Equal(t, c.want, one(t, pool, `
						SELECT CASE WHEN deleted_at IS NULL THEN email ELSE 'gone' END FROM capydb_auth.users WHERE id = $1`, user), "%s, batched: %t", order, batched)
				}
			}
		})
	}
}

// What was set without a clock is forgotten when nothing can bring it back.
func TestWhatWasSaidWithoutAClockIsForgotten(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	const kept = `SELECT coalesce(field_versions ? 'unclocked', false)::text FROM capydb_auth.users WHERE id = 'u1'`
	unclocked := update("e1", 1, "email", "a@example.com")
	unclocked.AtIsReceipt = true
	apply(t, pool, []mirror.Event{unclocked})
	require.Equal(t, "true", one(t, pool, kept))
	require.Equal(t, "e1", one(t, pool, `SELECT event_id FROM capydb_auth.user_sources WHERE user_id = 'u1' AND column_name = 'email'`))
	apply(t, pool, []mirror.Event{update("e2", 30, "email", "b@example.com")})
	require.Equal(t, "true", one(t, pool, kept), "a change stamped ahead may still come")
	require.Equal(t, "e2", one(t, pool, `SELECT event_id FROM capydb_auth.user_sources WHERE user_id = 'u1' AND column_name = 'email'`))
	apply(t, pool, []mirror.Event{update("e3", 62, "email", "c@example.com")})
	require.Equal(t, "false", one(t, pool, kept))
}

// What is read from the provider afterwards is the last word also on what was set without a clock.
func TestSupersedeIsNewerThanWhatWasSaidWithoutAClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]int{"StampedBefore": -5, "StampedAhead": 30} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Project(t)
			stamped := update("e1", 10+ahead, "email", "a@example.com")
			stamped.ReceivedAt = second(10)
			gone := deletion("e2", 11)
			gone.DeletedClockIsReceipt = true
			changed := update("e3", 12, "email", "b@example.com")
			changed.AtIsReceipt = true
			deletedAgain := deletion("e4", 13)
			deletedAgain.DeletedClockIsReceipt = true
			apply(t, pool, []mirror.Event{stamped, gone, changed, deletedAgain})
			require.Equal(t, "13", one(t, pool, selectDeleted))

			clocks, err := newMirrors(t, pool).Clocks(t.Context(), projectID(), record.User, []string{"u1"})
			require.NoError(t, err)
			read := update("refresh:1", 0, "email", "c@example.com") // its own clock is old
			read.ReceivedAt, read.NoLedger = second(13), true        // by a clock that is behind
			clocks["u1"].Supersede(&read)
			require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{read}))
			require.Equal(t, "NULL", one(t, pool, selectDeleted))
			require.Equal(t, "c@example.com", one(t, pool, selectEmail))
		})
	}
}
