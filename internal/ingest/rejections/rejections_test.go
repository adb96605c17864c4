package rejections_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

type bundle struct {
	pool     *pgxpool.Pool
	recorder *rejections.Recorder
	project  uuid.UUID
	stop     func()
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.Control(t)}
	b.recorder = rejections.New(b.pool, slog.New(slog.DiscardHandler))
	b.project = b.newProject(t, "shop")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var ended sync.WaitGroup
	ended.Go(func() { b.recorder.Run(ctx) })
	b.stop = func() { cancel(); ended.Wait() }
	t.Cleanup(b.stop)
	return b
}

func (b *bundle) newProject(t *testing.T, name string) (id uuid.UUID) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ($1, '') RETURNING id`, name).Scan(&id))
	return id
}

func (b *bundle) list(t *testing.T, provider string) []rejections.Rejected {
	t.Helper()
	list, err := rejections.Reader{Pool: b.pool}.List(t.Context(), b.project, provider, 0, 1000)
	require.NoError(t, err)
	return list
}

// request is one with a wrong signature, of an address.
func (b *bundle) request(provider, reason, address string) rejections.Request {
	return rejections.Request{
		ProjectID: b.project, Provider: provider, ReceivedAt: time.Now(), Status: 401, Reason: reason, Detail: "The secret is wrong.",
		BodyBytes: 12, HeaderNames: []string{"Svix-Id", "Content-Type"}, Address: netip.MustParseAddr(address),
	}
}

func TestRejectedRequestIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.recorder.Add(b.request("clerk", "signature_mismatch", "192.0.2.7"))
	waittest.Until(t, func() bool { return len(b.list(t, "clerk")) == 1 })
	got := b.list(t, "")[0]
	require.WithinDuration(t, time.Now(), got.ReceivedAt, waittest.Bound)
	size, address := int64(12), netip.MustParseAddr("192.0.2.7")
	require.Equal(t, rejections.Rejected{
		ID: got.ID, Provider: "clerk", ReceivedAt: got.ReceivedAt, Status: 401, Reason: "signature_mismatch", Detail: "The secret is wrong.",
		BodyBytes: &size, HeaderNames: []string{"Content-Type", "Svix-Id"}, RemoteAddress: &address, RequestCount: 1,
	}, got)
	require.Empty(t, b.list(t, "auth0"))

	var project, reason string
	var lastHour int64
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`SELECT project, last_reason, last_hour FROM authsync.rejections WHERE provider = 'clerk'`).Scan(&project, &reason, &lastHour))
	require.Equal(t, "shop", project)
	require.Equal(t, "signature_mismatch", reason)
	require.EqualValues(t, 1, lastHour)
}

// A flood costs a few rows a second, however many requests and addresses it has.
func TestFloodCostsFewRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const requests = 20_000
	begun := time.Now()
	for i := range requests {
		b.recorder.Add(b.request("clerk", "signature_mismatch", fmt.Sprintf("192.0.2.%d", i%250)))
	}
	b.recorder.Add(b.request("auth0", "signature_missing", "192.0.2.7"))
	b.stop() // writes what is left
	seconds := int(time.Since(begun)/time.Second) + 2
	list := b.list(t, "clerk")
	require.LessOrEqual(t, len(list), 5*seconds)
	var counted int64
	for _, r := range list {
		counted += r.RequestCount
	}
	require.EqualValues(t, requests, counted, "each is counted")
	require.Len(t, b.list(t, "auth0"), 1, "and hides nobody else's")
}

func TestNewestRequestsOfEachProviderAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	add := func(provider string, n int) {
		for i := range n {
			_, err := b.pool.Exec(t.Context(), `SELECT authsync.record_rejected_requests(jsonb_build_array(jsonb_build_object(
				'project_id', $1::uuid, 'provider', $2::text, 'received_at', now(), 'status', 401, 'reason', 'r' || $3::int, 'detail', '',
				'header_names', '[]'::jsonb, 'request_count', 1)), 10)`, b.project, provider, i)
			require.NoError(t, err)
		}
	}
	add("clerk", 3)
	add("auth0", 25)
	require.Len(t, b.list(t, "clerk"), 3)
	list := b.list(t, "auth0")
	require.Len(t, list, 10)
	require.Equal(t, "r24", list[0].Reason)
	require.Equal(t, "r15", list[9].Reason)
}

func TestProjectThatIsGoneHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := b.request("clerk", "signature_mismatch", "192.0.2.7")
	gone.ProjectID = uuid.New()
	b.recorder.Add(gone)
	b.recorder.Add(b.request("clerk", "signature_mismatch", "192.0.2.7"))
	waittest.Until(t, func() bool { return len(b.list(t, "")) == 1 })
	_, err := b.pool.Exec(t.Context(), `SELECT authsync.remove_project($1)`, b.project)
	require.NoError(t, err)
	require.Empty(t, b.list(t, ""))
}

func TestWhatSendersChooseIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	q := b.request("clerk", "signature_mismatch", "192.0.2.7")
	q.Detail = strings.Repeat("x", 10_000) + "\x00"
	q.Address, q.BodyBytes = netip.Addr{}, -1
	q.HeaderNames = nil
	for i := range 1000 {
		q.HeaderNames = append(q.HeaderNames, fmt.Sprintf("X-%04d-\xff\x00-%s", i, strings.Repeat("y", 1000)))
	}
	b.recorder.Add(q)
	waittest.Until(t, func() bool { return len(b.list(t, "")) == 1 })
	got := b.list(t, "")[0]
	require.Less(t, len(got.Detail), 700)
	require.Len(t, got.HeaderNames, 41)
	require.Less(t, len(strings.Join(got.HeaderNames, "")), 4000)
	require.Nil(t, got.RemoteAddress)
	require.Nil(t, got.BodyBytes)
}

func TestDatabaseThatIsAwayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pool.Close()
	for range 100 {
		b.recorder.Add(b.request("clerk", "signature_mismatch", "192.0.2.7"))
	}
	b.stop()
	require.True(t, b.recorder.Wants(b.project, "clerk"), "what could not be written is forgotten")
}
