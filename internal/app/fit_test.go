package app_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// with returns the same installation for a process that has other encryption keys.
func (in *installation) with(keys string) *installation {
	other := *in
	other.settings.EncryptionKey = config.Secret(keys)
	return &other
}

// readiness asks a process whether it is ready.
func readiness(t *testing.T, url string) (status int, answer client.Readiness) {
	t.Helper()
	status, text := get(t, url+"/readyz")
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	return status, answer
}

// attempts is how many jobs any process has begun.
func (in *installation) attempts(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, in.controlDB.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE attempt > 0`).Scan(&n))
	return n
}

// A process whose encryption key does not fit is not ready, says which key it lacks, and takes no jobs from those that have it.
func TestAProcessWithAnotherEncryptionKey(t *testing.T) {
	t.Parallel()
	in := install(t)
	right, wrong := in.settings.EncryptionKey.Reveal(), seal.NewKey()
	lacks := func(key string) string {
		ring, err := seal.ParseKeys(key)
		require.NoError(t, err)
		return ring.IDs()[0]
	}

	a, stop := in.with(wrong).start(t, config.Roles{Receiver: true, Worker: true})
	require.Equal(t, http.StatusServiceUnavailable, client.Status(in.send(t, a.URL(), provider.Clerk, "user_1")))
	status, answer := readiness(t, a.URL())
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "ok", answer.Parts["control_database"])
	require.Contains(t, answer.Parts["encryption_key"], "lacks the key "+lacks(right)+", ")
	require.Contains(t, answer.Parts["encryption_key"], "add it behind the first one and a comma")
	for _, key := range []string{right, wrong} {
		require.NotContains(t, answer.Parts["encryption_key"], key[:8])
	}

	// A message that another process has taken waits for one that can apply it.
	receiver, _ := in.start(t, config.Roles{Receiver: true})
	require.NoError(t, in.send(t, receiver.URL(), provider.Clerk, "user_1"))
	require.Equal(t, "ok", answer.Parts["jobs"])
	waittest.Until(t, func() bool { return in.attempts(t) > 0 || a.JobsRefused() > 3 })
	require.Zero(t, in.attempts(t))
	stop()

	// While the key is replaced, a process with both is ready, whichever comes first.
	for _, keys := range []string{right + "," + wrong, wrong + "," + right} {
		a, stop = in.with(keys).start(t, config.Roles{Receiver: true, Worker: true})
		status, answer = readiness(t, a.URL())
		require.Equal(t, http.StatusOK, status, answer.Parts)
		require.Equal(t, "ok", answer.Parts["encryption_key"])
		waittest.Until(t, func() bool { return in.users(t) == 1 })
		stop()
	}
}

// One row that a stray process has sealed with a key of its own takes nobody away, and is said.
func TestAKeyOfASingleRowIsMissing(t *testing.T) {
	t.Parallel()
	in := install(t)
	other, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	sealed, err := other.Seal([]byte(`{}`))
	require.NoError(t, err)
	_, err = in.controlDB.Exec(t.Context(), `UPDATE authsync.integrations SET credentials_sealed = $1 WHERE provider = 'auth0'`, sealed)
	require.NoError(t, err)
	a, _ := in.start(t, config.Roles{Receiver: true})
	status, answer := readiness(t, a.URL())
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ready", answer.Status)
	require.Contains(t, answer.Parts["encryption_key"], "lacks the key "+other.IDs()[0]+", which sealed 1 of ")
	require.NoError(t, in.send(t, a.URL(), provider.Clerk, "user_1"))
}

// Waiting messages are shown and make nobody unready: it would take the receivers away when they are needed.
func TestLagIsShownAndFailsNothing(t *testing.T) {
	t.Parallel()
	in := install(t)
	a, _ := in.start(t, config.Roles{Receiver: true})
	require.NoError(t, in.send(t, a.URL(), provider.Clerk, "user_1"))
	_, err := in.controlDB.Exec(t.Context(), `UPDATE authsync.inbox_pending SET received_from = now() - interval '2 hours'`)
	require.NoError(t, err)
	status, answer := readiness(t, a.URL())
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ready", answer.Status)
	require.NotNil(t, answer.LagSeconds)
	require.Greater(t, *answer.LagSeconds, 7000.0)
}
