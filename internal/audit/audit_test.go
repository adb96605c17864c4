package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func origin() audit.Origin {
	return audit.Origin{
		Actor: audit.Key, Key: &project.Key{ID: uuid.New(), Name: "ops", Role: project.Admin}, Via: audit.ViaAPI,
		Address: netip.MustParseAddr("192.0.2.7"), UserAgent: strings.Repeat("ü", 500) + "\x00\xff", RequestID: "r1",
	}
}

func newLog(tx pgx.Tx) *audit.Log { return &audit.Log{Database: tx, Now: time.Now} }

func list(t *testing.T, l *audit.Log, f audit.Filter) []audit.Entry {
	t.Helper()
	entries, err := l.List(t.Context(), f, nil, 1000)
	require.NoError(t, err)
	return entries
}

func TestActionHasItsRowBeforeItIsDone(t *testing.T) {
	t.Parallel()
	l := newLog(pgtest.Tx(t))
	o := origin()
	err := l.Do(t.Context(), o, audit.Action{Name: "destination.pause", ObjectID: "app"}, func(*audit.Result) error {
		entries := list(t, l, audit.Filter{})
		require.Len(t, entries, 1)
		require.Equal(t, audit.Pending, entries[0].Outcome)
		require.Equal(t, o.Key.ID, *entries[0].KeyID)
		require.Equal(t, "ops", *entries[0].KeyName)
		require.Equal(t, "admin", *entries[0].KeyRole)
		require.Equal(t, "192.0.2.7", entries[0].RemoteAddress.String())
		require.Equal(t, strings.Repeat("ü", 200)+"…", *entries[0].UserAgent)
		return errors.New("no")
	})
	require.EqualError(t, err, "no")
	entries := list(t, l, audit.Filter{})
	require.Len(t, entries, 1)
	require.Equal(t, audit.Failed, entries[0].Outcome)
	require.NotNil(t, entries[0].FinishedAt)
}

func TestNoRowNoAction(t *testing.T) {
	t.Parallel()
	l := newLog(pgtest.Tx(t))
	err := l.Do(t.Context(), origin(), audit.Action{Name: "Not a name"}, func(*audit.Result) error {
		require.Fail(t, "it is done")
		return nil
	})
	require.Equal(t, pgerrcode.CheckViolation, pgdb.Code(err))
}

// What is on record stays on record, whoever asks, by SQL.
func TestLogIsAppendOnly(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	l := newLog(tx)
	done, err := l.Begin(t.Context(), origin(), audit.Action{Name: "key.create"})
	require.NoError(t, err)
	require.NoError(t, l.Finish(t.Context(), done, audit.Result{Outcome: audit.Succeeded, Status: 201, ObjectID: "k"}))
	pending, err := l.Begin(t.Context(), origin(), audit.Action{Name: "key.revoke", ObjectID: "k"})
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE authsync.audit_log SET outcome = 'failed' WHERE outcome = 'succeeded'`,
		`UPDATE authsync.audit_log SET outcome = 'pending', finished_at = NULL WHERE outcome = 'succeeded'`,
		`UPDATE authsync.audit_log SET key_id = NULL WHERE outcome = 'pending'`,
		`UPDATE authsync.audit_log SET outcome = 'failed', finished_at = now(), key_id = NULL WHERE outcome = 'pending'`,
		`UPDATE authsync.audit_log SET outcome = 'failed', finished_at = now(), action = 'a.b' WHERE outcome = 'pending'`,
		`UPDATE authsync.audit_log SET outcome = 'failed', finished_at = now(), object_id = 'other' WHERE outcome = 'pending'`,
		`DELETE FROM authsync.audit_log`,
		`TRUNCATE authsync.audit_log`,
		`SET LOCAL session_replication_role = replica; DELETE FROM authsync.audit_log`,
	} {
		inner, err := tx.Begin(t.Context())
		require.NoError(t, err)
		_, err = inner.Exec(t.Context(), statement)
		require.Equal(t, pgerrcode.InsufficientPrivilege, pgdb.Code(err), statement)
		require.NoError(t, inner.Rollback(t.Context()))
	}
	require.NoError(t, l.Finish(t.Context(), done, audit.Result{Outcome: audit.Failed}), "a second result is none")
	require.NoError(t, l.Finish(t.Context(), pending, audit.Result{Outcome: audit.Succeeded}))
	entries := list(t, l, audit.Filter{OldestFirst: true})
	require.Len(t, entries, 2)
	require.Equal(t, audit.Succeeded, entries[0].Outcome)
	require.Equal(t, "k", *entries[0].ObjectID)
}

func TestOnlyOldRowsArePruned(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t)
	l := newLog(tx)
	now := time.Now()
	for _, age := range []int{399, 401, 402} {
		l.Now = func() time.Time { return now.AddDate(0, 0, -age) }
		_, err := l.Begin(t.Context(), origin(), audit.Action{Name: "key.create"})
		require.NoError(t, err)
	}
	prune := func(at time.Time, most int) (n int64) {
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT authsync.prune_audit_log($1, $2)`, at, most).Scan(&n))
		return n
	}
	require.EqualValues(t, 1, prune(now, 1))
	require.EqualValues(t, 1, prune(now.AddDate(1, 0, 0), 10), "a clock that is ahead deletes nothing early")
	require.Len(t, list(t, l, audit.Filter{}), 1)
}

func TestListIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	l := newLog(pgtest.Tx(t))
	start := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	shop := uuid.New()
	o := origin()
	for i := range 6 {
		at := start.Add(time.Duration(i/2) * time.Hour) // two at the same time
		l.Now = func() time.Time { return at }
		a := audit.Action{Name: "destination.pause", ObjectID: strconv.Itoa(i)}
		if i%2 == 0 {
			a = audit.Action{Name: "key.create", ProjectID: &shop, ProjectName: "shop", ObjectID: strconv.Itoa(i)}
		}
		by := o
		if i == 5 {
			by = audit.Origin{Actor: audit.Command, Via: audit.ViaCommand}
		}
		_, err := l.Begin(t.Context(), by, a)
		require.NoError(t, err)
	}
	ids := func(f audit.Filter) string {
		var ids strings.Builder
		var after *audit.Place
		for {
			page, err := l.List(t.Context(), f, after, 2)
			require.NoError(t, err)
			for _, e := range page {
				ids.WriteString(*e.ObjectID)
				after = &audit.Place{At: e.OccurredAt, ID: e.ID}
			}
			if len(page) < 2 {
				return ids.String()
			}
		}
	}
	require.Equal(t, "543210", ids(audit.Filter{}))
	require.Equal(t, "012345", ids(audit.Filter{OldestFirst: true}))
	require.Equal(t, "420", ids(audit.Filter{ProjectID: &shop}))
	require.Equal(t, "43210", ids(audit.Filter{KeyID: &o.Key.ID}))
	require.Equal(t, "531", ids(audit.Filter{Action: "destination.pause"}))
	require.Equal(t, "420", ids(audit.Filter{Action: "key"}))
	require.Equal(t, "32", ids(audit.Filter{Since: start.Add(time.Hour), Until: start.Add(2 * time.Hour)}))
	require.Empty(t, ids(audit.Filter{Outcome: audit.Failed}))
}

func TestRefusedAttemptsShareFewRows(t *testing.T) {
	t.Parallel()
	l := newLog(pgtest.Tx(t))
	r := audit.NewRefusals(l, slog.New(slog.DiscardHandler))
	refusal := func(address, action string) audit.Refusal {
		return audit.Refusal{
			Origin: audit.Origin{Actor: audit.Unknown, Via: audit.ViaAPI, Address: netip.MustParseAddr(address)},
			Action: audit.Action{Name: action}, Status: 401, Code: "unauthenticated",
		}
	}
	for range 500 {
		r.Add(refusal("192.0.2.1", "key.create"))
	}
	r.Add(refusal("192.0.2.2", "key.create"))
	r.Write(t.Context())
	entries := list(t, l, audit.Filter{OldestFirst: true})
	require.Len(t, entries, 2)
	require.EqualValues(t, 500, entries[0].RequestCount)
	require.Equal(t, audit.Refused, entries[0].Outcome)
	require.Equal(t, 401, *entries[0].Status)
	require.Equal(t, "192.0.2.2", entries[1].RemoteAddress.String())

	// However many senders there are.
	for i := range 3000 {
		r.Add(refusal(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String(), "key.create"))
	}
	r.Write(t.Context())
	entries = list(t, l, audit.Filter{Since: entries[1].OccurredAt.Add(time.Microsecond)})
	require.LessOrEqual(t, len(entries), 20)
	var all int64
	for _, e := range entries {
		all += e.RequestCount
	}
	require.EqualValues(t, 3000, all, "none is lost from the count")
}

func TestWhatWasCountedIsWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	l := &audit.Log{Database: pool, Now: time.Now}
	r := audit.NewRefusals(l, slog.New(slog.DiscardHandler))
	r.Add(audit.Refusal{Origin: audit.Origin{Actor: audit.Unknown, Via: audit.ViaAPI}, Action: audit.Action{Name: "key.create"}, Status: 401})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Run(ctx)
	require.Len(t, list(t, l, audit.Filter{}), 1)
}

func TestChangesShowNoSecret(t *testing.T) {
	t.Parallel()
	ring, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	changes := audit.Changes(ring, []byte(`{"name": "app", "test": true, "expires_at": null, "database_url": "postgres://u:hunter2@h/d",
		"credentials": {"secret_key": "hunter2", "pin": 1234, "webhook_signing_secret": ["hunter2", "other"], "flag": null},
		"options": {"url": "https://example.com/?token=hunter2", "reconcile": {"every": "1d"}, "headers": {"X-Key": "hunter2", "a b": "x"}},
		"user_id": "ada@example.com", "event_types": ["user.created"], "limit": 5, "since": "2026-05-04T10:00:00Z"}`))
	require.Equal(t, "app", changes["name"])
	require.Equal(t, true, changes["test"])
	require.Nil(t, changes["expires_at"])
	require.Equal(t, "1d", changes["options.reconcile.every"])
	require.Equal(t, []any{"user.created"}, changes["event_types"])
	secret := changes["credentials.secret_key"]
	require.Regexp(t, `^hmac-sha256:[0-9a-f]{8}:[0-9a-f]{32}$`, secret)
	require.Equal(t, secret, changes["options.headers.X-Key"], "equal texts are seen to be equal")
	signing, _ := changes["credentials.webhook_signing_secret"].([]any)
	require.Len(t, signing, 2)
	require.Equal(t, secret, signing[0])
	require.NotEqual(t, secret, signing[1])
	require.Contains(t, changes["credentials.pin"], "hmac-sha256:")
	for field, value := range changes {
		text, _ := value.(string)
		require.NotContains(t, text, "hunter2", field)
		require.NotContains(t, text, "example.com", field)
	}

	other, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	require.NotEqual(t, secret, audit.Digest(other, "hunter2"), "without the encryption key a weak secret cannot be guessed")
	require.Nil(t, audit.Changes(ring, nil))
	many := map[string]int{}
	for i := range 1000 {
		many["field"+strconv.Itoa(i)] = i
	}
	text, err := json.Marshal(many)
	require.NoError(t, err)
	require.Len(t, audit.Changes(ring, text), 101)
}
