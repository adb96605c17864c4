package clerk_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// An event of another instance than the one that is read would come and go with each reconcile.
func TestEventsOfAnotherInstanceAreIgnored(t *testing.T) {
	t.Parallel()
	decode := func(account, instance string) provider.Event {
		return clerk.New().Decode(provider.Message{MessageID: "msg_1", ReceivedAt: time.Now(), Account: account, Body: []byte(
			`{"type": "user.created", "timestamp": 1779271230123, ` + instance + `"data": {"id": "user_1", "updated_at": 1779271230100}}`,
		)}, provider.Options{})[0]
	}
	for name, tc := range map[string]struct {
		account, instance string
		want              provider.Verdict
	}{
		"TheSame":         {"ins_one", `"instance_id": "ins_one", `, provider.Apply},
		"Another":         {"ins_one", `"instance_id": "ins_two", `, provider.Ignore},
		"Unsaid":          {"ins_one", ``, provider.Apply},
		"NoText":          {"ins_one", `"instance_id": null, `, provider.Apply},
		"NothingKnown":    {"", `"instance_id": "ins_two", `, provider.Apply},
		"OurOwnSample":    {"ins_one", `"instance_id": "ins_authsyncSample", `, provider.Apply},
		"ClerksOwnSample": {"ins_one", `"instance_id": "ins_2g7np7Hrk0SN6kj5EDMLDaKNL0S", `, provider.Ignore},
	} {
		e := decode(tc.account, tc.instance)
		require.Equal(t, tc.want, e.Verdict, "%s: %s", name, e.Reason)
		if name == "Another" {
			require.Regexp(t, "^it is of another Clerk instance", e.Reason, "authsync doctor looks for it")
		}
	}
}

func TestAccountMarkIsTheInstance(t *testing.T) {
	t.Parallel()
	clock := userapitest.NewClock()
	fake := demoprovider.NewClerk(demoprovider.NewAccount(1), clock.Now)
	fake.Instance = "ins_one"
	credentials, options := provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: userapitest.Start(t, fake)}
	source, err := clerk.New().NewSource(credentials, options, clock.Deps())
	require.NoError(t, err)
	for range 3 {
		mark, err := userapi.AccountMarkOf(t.Context(), source)
		require.NoError(t, err)
		require.Equal(t, "ins_one", mark)
	}
	require.Equal(t, 1, fake.Requests("/instance"), "it is asked once")

	fake.Instance = "" // a proxy that does not have the call
	source, err = clerk.New().NewSource(credentials, options, clock.Deps())
	require.NoError(t, err)
	mark, err := userapi.AccountMarkOf(t.Context(), source)
	require.NoError(t, err)
	require.Empty(t, mark)

	credentials.SecretKey = "sk_test_b3RoZXIgdGhhbiB0aGF0"
	source, err = clerk.New().NewSource(credentials, options, clock.Deps())
	require.NoError(t, err)
	_, err = userapi.AccountMarkOf(t.Context(), source)
	require.ErrorContains(t, err, "refuses credentials.secret_key")
}
