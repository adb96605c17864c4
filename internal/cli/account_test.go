package cli

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// instances is a Clerk with several instances, each of which has a key.
type instances map[string]http.Handler

func (i instances) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].ServeHTTP(w, r)
}

func (instances) At(url string) string { return url }

// switched answers as the handler that it was given last.
type switched struct{ atomic.Value }

func (s *switched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, _ := s.Load().(instances)
	handler.ServeHTTP(w, r)
}

func (*switched) At(url string) string { return url }

const (
	testInstanceKey = "sk_test_b25lIGluc3RhbmNlIG9mIHR3bw"
	liveInstanceKey = "sk_live_dGhlIG90aGVyIGluc3RhbmNl"
)

func newInstance(key, id string, users int) *demoprovider.Clerk {
	c := demoprovider.NewClerk(demoprovider.NewAccount(users), time.Now)
	c.Key, c.Instance = key, id
	return c
}

// withKey sets the secret key of the integration.
func (b *testBundle) withKey(t *testing.T, url, key string, more ...string) result {
	t.Helper()
	args := append([]string{"integrations", "set", "shop", "clerk", "--secret-key-file", "-", "--option", "base_url=" + url}, more...)
	return run(t.Context(), b.env, key+"\n", args...)
}

func (b *testBundle) users(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.project.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users WHERE deleted_at IS NULL`).Scan(&n))
	return n
}

// The key of another instance brings no strangers and deletes nobody, unless it is meant.
func TestKeyOfAnotherInstanceIsRefused(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	b.must(t, "projects", "create", "shop", "--database-url-env", "SHOP_DATABASE_URL")
	url := userapitest.Start(t, instances{
		testInstanceKey: newInstance(testInstanceKey, "ins_one", 40), liveInstanceKey: newInstance(liveInstanceKey, "ins_two", 90),
	})
	r := b.withKey(t, url, testInstanceKey)
	require.Zero(t, r.status, r.err)
	waittest.Until(t, func() bool { return b.users(t) == 40 })
	require.Contains(t, b.must(t, "integrations", "list", "shop", "--json"), `"account_mark": "ins_one"`)

	refused := b.withKey(t, url, liveInstanceKey)
	require.Equal(t, 1, refused.status)
	require.Contains(t, refused.err, "another Clerk account (ins_two) than the one whose users the mirror has (ins_one)")
	require.Contains(t, refused.err, "--adopt-account")
	require.NotContains(t, refused.err, liveInstanceKey)
	b.must(t, "backfill", "shop", "clerk")
	require.Equal(t, 40, b.users(t), "the first key is still the one in use")

	adopted := b.withKey(t, url, liveInstanceKey, "--adopt-account")
	require.Zero(t, adopted.status, adopted.err)
	waittest.Until(t, func() bool { return b.users(t) == 90 })
	require.Contains(t, b.must(t, "integrations", "list", "shop", "--json"), `"account_mark": "ins_two"`)
	require.Zero(t, b.withKey(t, url, liveInstanceKey).status, "the same again")

	require.Contains(t, b.run(t, "doctor").out, "ok       accounts: ")
	execute(t, b.control, `INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome, reason)
		SELECT 1, 0, now(), id, 'ignored', 'it is of another Clerk instance than the secret key' FROM authsync.projects`)
	b.doctorSays(t, "failed   accounts: 1 event of clerk for project shop within a day was ignored: it is of another account than ins_two, whose users are read",
		"use the webhook and the credentials of one account")
}

// Where nobody could ask when the key was stored, or what is behind its address has changed, the run finds out before it
// writes or deletes anything.
func TestRunsAskWhichInstanceItIs(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	b.must(t, "projects", "create", "shop", "--database-url-env", "SHOP_DATABASE_URL")
	var clerk switched
	clerk.Store(instances{testInstanceKey: newInstance(testInstanceKey, "ins_one", 40)})
	url := userapitest.Start(t, &clerk)
	require.Zero(t, b.withKey(t, url, testInstanceKey).status)
	b.must(t, "backfill", "shop", "clerk") // it attaches to the one that this started
	waittest.Until(t, func() bool { return b.users(t) == 40 })

	clerk.Store(instances{testInstanceKey: newInstance(testInstanceKey, "ins_two", 3)})
	for _, command := range [][]string{{"backfill", "shop", "clerk"}, {"reconcile", "shop", "clerk", "--force"}} {
		r := b.run(t, command...)
		require.NotZero(t, r.status, r.out)
		require.Contains(t, r.err+r.out, "another Clerk account (ins_two)")
	}
	require.Equal(t, 40, b.users(t))
	gone := b.run(t, "refresh", "shop", demoprovider.ClerkID(39))
	require.NotZero(t, gone.status)
	require.Contains(t, gone.err, "another Clerk account (ins_two)")
	require.Equal(t, 40, b.users(t), "a user that the other instance does not have is not deleted")
}
