package inbox_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// noRoom is what a trigger says in place of a disk that is full.
const noRoom = `
	CREATE FUNCTION authsync.no_room() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
	CREATE TRIGGER no_room BEFORE INSERT ON authsync.inbox EXECUTE FUNCTION authsync.no_room()`

// A database that answers and takes nothing makes the inbox unready, and an outage is a few lines in the log.
func TestAnOutageIsSaidOnceAndEndsReadiness(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	var clock atomic.Int64
	var log strings.Builder
	in := newInbox(t, pool, inbox.Config{
		Now: func() time.Time { return now().Add(time.Duration(clock.Load())) },
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	fail := func(after time.Duration) {
		t.Helper()
		clock.Store(int64(after))
		_, err := in.Append(t.Context(), delivery())
		require.ErrorContains(t, err, "could not extend file")
		require.ErrorIs(t, in.Ready(), inbox.ErrFailing)
	}
	require.NoError(t, in.Ready())
	exec(t, pool, noRoom)
	fail(0)
	for n := range 9 {
		fail(time.Duration(n+1) * time.Second)
	}
	require.Equal(t, 1, strings.Count(log.String(), "inbox_commit_failed"), log.String())
	require.Contains(t, log.String(), "sqlstate=53100")
	fail(10 * time.Second)
	require.Contains(t, log.String(), "commits=10 messages=10", "those that no line was for are counted")

	clock.Store(int64(15 * time.Second))
	require.NoError(t, in.Ready(), "senders may find out whether it is over")
	fail(16 * time.Second)
	exec(t, pool, `DROP TRIGGER no_room ON authsync.inbox`)
	_, err := in.Append(t.Context(), delivery())
	require.NoError(t, err)
	require.NoError(t, in.Ready())
	require.Equal(t, 2, strings.Count(log.String(), "inbox_commit_failed"), log.String())
	require.Contains(t, log.String(), "msg=inbox_commit_recovered lasted=16s commits=1 messages=1")
}

// What is wrong with one delivery says nothing about the database.
func TestARefusedDeliveryIsNoOutage(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	var log strings.Builder
	in := newInbox(t, pool, inbox.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	exec(t, pool, `ALTER TABLE authsync.inbox ADD CONSTRAINT no_clerk CHECK (provider <> 'clerk')`)
	_, err := in.Append(t.Context(), delivery(func(d *inbox.Message) { d.Provider = "clerk" }))
	require.Error(t, err)
	require.NoError(t, in.Ready())
	require.Contains(t, log.String(), "inbox_commit_refused")
}
