package apply_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
)

// Better Auth takes the time when an update begins: which of two at once came last is asked.
func TestUpdatesWithinASecondAreSettledByReading(t *testing.T) {
	t.Parallel()
	const asked = "the user changed several times within a second: Better Auth is asked which change came last"
	hook := func(event, user, email, updatedAt string) string {
		return fmt.Sprintf(`{"event": "user.%s", "user": {"id": %q, "email": %q, "createdAt": "2026-05-04T10:00:00.000Z", "updatedAt": "2026-05-04T%sZ"}}`, event, user, email, updatedAt)
	}
	type message struct{ body, outcome, reason string }
	for name, c := range map[string]struct {
		messages []message
		requests []string
	}{
		"TheNewerOneFirst": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "c", "10:20:30.101"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Stale, "newer events had already set all its fields; " + asked},
		}, []string{"better_auth u"}},
		"TheOlderOneFirst": {[]message{
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Applied, ""},
			{hook("updated", "u", "c", "10:20:31.100"), inbox.Applied, asked},
		}, []string{"better_auth u"}},
		"OfTheSameMillisecond": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Applied, ""},
			{hook("updated", "u", "c", "10:20:30.100"), inbox.Applied, asked},
		}, []string{"better_auth u"}},
		"MoreThanASecondApart": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Applied, ""},
			{hook("updated", "u", "c", "10:20:31.101"), inbox.Applied, ""},
		}, []string{}},
		"AfterTheCreation": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:00:00.100"), inbox.Applied, ""},
		}, []string{}},
		"OfTwoUsers": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("created", "v", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Applied, ""},
			{hook("updated", "v", "c", "10:20:30.101"), inbox.Applied, ""},
		}, []string{}},
		"ARepetition": {[]message{
			{hook("created", "u", "a", "10:00:00.000"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Applied, ""},
			{hook("updated", "u", "b", "10:20:30.100"), inbox.Duplicate, "the same event came before, with message 2"},
		}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			for _, m := range c.messages {
				id, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: b.projectID, Provider: provider.BetterAuth, Body: []byte(m.body)})
				require.NoError(t, err)
				require.Equal(t, m.reason, b.eventually(t, id, 0, m.outcome))
			}
			require.Equal(t, c.requests, b.refreshRequests(t))
		})
	}

	t.Run("UsersCannotBeRead", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil)
		b.refreshes.say([]error{fault.New(fault.Unsupported, "no credentials")}, nil)
		for _, body := range []string{hook("updated", "u", "b", "10:20:30.100"), hook("updated", "u", "c", "10:20:30.101")} {
			id, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: b.projectID, Provider: provider.BetterAuth, Body: []byte(body)})
			require.NoError(t, err)
			require.Empty(t, b.eventually(t, id, 0, inbox.Applied))
		}
		require.Empty(t, b.refreshRequests(t))
	})
}
