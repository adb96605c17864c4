package syncrun_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestBackfill(t *testing.T) {
	t.Parallel()

	t.Run("BringsAllUsersIntoTheMirror", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1234, 250)
		b.work(t, b.mirrors, 0)
		started := b.start(t)
		require.Equal(t, syncrun.Waiting, started.State)
		run := b.ends(t, syncrun.Done)
		require.Equal(t, started.ID, run.ID)
		require.Equal(t, int64(1234), *run.Total)
		require.Equal(t, []int64{1234, 1234, 0, 0}, []int64{run.Read, run.Applied, run.Unchanged, run.Failed})
		require.Positive(t, *run.PerSecond)
		require.Nil(t, run.SecondsLeft)
		require.Empty(t, run.Report.Bad)
		require.Equal(t, "1234 1234 1234 0", b.mirrored(t))
		require.Equal(t, "user7@example.com clerk backfill:"+run.ID.String(), one(t, b.project, `
			SELECT concat_ws(' ', email, provider, (SELECT event_id FROM capydb_auth.user_changes AS c WHERE c.user_id = u.id))
			FROM capydb_auth.users AS u WHERE id = 'user_000007'`))
		require.Equal(t, "done 1234 100.0 true", one(t, b.control, `
			SELECT concat_ws(' ', state, read, percent, (per_second > 0)::text) FROM authsync.sync_run_progress WHERE project = 'shop'`))
		waittest.Until(t, func() bool {
			return one(t, b.control, `SELECT state::text FROM authsync.river_job`) == string(rivertype.JobStateCompleted)
		})

		b.start(t)
		again := b.ends(t, syncrun.Done)
		require.Equal(t, []int64{1234, 0, 1234, 0}, []int64{again.Read, again.Applied, again.Unchanged, again.Failed})
		require.Equal(t, "1234 1234 1234 0", b.mirrored(t), "a second backfill changes nothing")
	})

	t.Run("GoesOnInSlices", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 100, 10)
		b.work(t, b.mirrors, time.Nanosecond)
		b.start(t)
		require.Equal(t, int64(100), b.ends(t, syncrun.Done).Read)
		require.Equal(t, "100 100 100 0", b.mirrored(t))
		require.Equal(t, "9 1", one(t, b.control, `SELECT concat_ws(' ', metadata ->> 'snoozes', attempt) FROM authsync.river_job`),
			"a slice for each page, and none of them costs an attempt")
		b.account.requireClosed(t)
		require.Equal(t, []int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2}, b.account.pagesServed(), "one source for all slices")
	})

	t.Run("NewCredentialsAreUsedFromTheNextSliceOn", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 40, 10)
		b.account.before = func(cursor string) (*userapi.Page, error) {
			if cursor == "10" {
				b.account.mu.Lock()
				defer b.account.mu.Unlock()
				b.account.digest = "new"
			}
			return nil, nil
		}
		b.work(t, b.mirrors, time.Nanosecond)
		b.start(t)
		b.ends(t, syncrun.Done)
		b.account.requireClosed(t)
		require.Equal(t, []int{2, 2, 4, 4}, b.account.pagesServed())
	})

	t.Run("WithoutUsersIsDoneAtOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 0, 10)
		b.account.silent = true
		b.work(t, b.mirrors, 0)
		b.start(t)
		require.Nil(t, b.ends(t, syncrun.Done).Total)
	})

	t.Run("BadEntriesAreReportedAndTheRestGoesIn", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 400, 400)
		b.account.before = func(string) (*userapi.Page, error) {
			page := b.account.page("")
			page.Users[3].Object = []byte(`{"first_name": "Nobody"}`)
			for i := 200; i < 320; i++ {
				page.Users[i].Object = []byte(`[]`)
			}
			page.Bad = []userapi.Bad{{Place: "line 17", Reason: "it is not JSON"}}
			page.Note = "the export was made anew"
			return &page, nil
		}
		_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_seven CHECK (email <> 'user7@example.com')`)
		require.NoError(t, err)
		b.work(t, b.mirrors, 0)
		b.start(t)
		run := b.ends(t, syncrun.Done)
		require.Equal(t, []int64{400, 278, 0, 123}, []int64{run.Read, run.Applied, run.Unchanged, run.Failed})
		require.Len(t, run.Report.Bad, 100)
		require.Equal(t, syncrun.Bad{Place: "line 17", Reason: "it is not JSON"}, run.Report.Bad[0])
		require.Equal(t, syncrun.Bad{Place: "user 4 of the walk", Reason: "user.id is missing"}, run.Report.Bad[1])
		require.Equal(t, syncrun.Bad{Place: "user 201 of the walk", Reason: "the user is an array, not an object"}, run.Report.Bad[2])
		require.Equal(t, []string{"the export was made anew"}, run.Report.Notes)
		require.Equal(t, "278 278 278 0", b.mirrored(t))
	})

	t.Run("WhatTheMirrorRefusesIsReportedInPlainWords", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 10, 10)
		_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_seven CHECK (email <> 'user7@example.com')`)
		require.NoError(t, err)
		b.work(t, b.mirrors, 0)
		b.start(t)
		run := b.ends(t, syncrun.Done)
		require.Len(t, run.Report.Bad, 1)
		require.Equal(t, "user 8 of the walk, id user_000007", run.Report.Bad[0].Place)
		require.Contains(t, run.Report.Bad[0].Reason, "no_seven")
		require.NotContains(t, run.Report.Bad[0].Reason, "example.com")
	})

	t.Run("AnExportThatIsMadeAnewIsCountedOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		var calls atomic.Int64
		b.account.before = func(string) (*userapi.Page, error) {
			switch calls.Add(1) {
			case 2:
				page := b.account.page("10")
				page.Next, page.Wait, page.Note = "10", 10*time.Millisecond, "the provider prepares an export"
				page.Users = nil
				return &page, nil
			case 4:
				return &userapi.Page{Restarted: true, Next: "0", Note: "the export has expired"}, nil
			default:
				return nil, nil
			}
		}
		b.work(t, b.mirrors, 0)
		b.start(t)
		run := b.ends(t, syncrun.Done)
		require.Equal(t, int64(30), run.Read)
		require.Equal(t, []string{"the provider prepares an export", "the export has expired"}, run.Report.Notes)
		require.Equal(t, "30 30 30 0", b.mirrored(t))
	})
}

// TestWalksThatDoNotGetOn has a source, whatever it reads from, give no proof of its own.
func TestWalksThatDoNotGetOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page  func(b *testBundle, cursor string) userapi.Page
		tells string
	}{
		"TheSamePageForEver": {func(b *testBundle, cursor string) userapi.Page {
			page := b.account.page("")
			page.Next = cursor + "x"
			return page
		}, "it goes on"},
		"NobodyForEver": {func(_ *testBundle, cursor string) userapi.Page { return userapi.Page{Next: cursor + "x"} }, "page after page has nobody"},
		"TheSameCursor": {func(b *testBundle, _ string) userapi.Page {
			page := b.account.page("")
			page.Next = "again"
			return page
		}, "the walk stands still"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 2000, 1000)
			b.account.before = func(cursor string) (*userapi.Page, error) {
				page := c.page(b, cursor)
				return &page, nil
			}
			b.work(t, b.mirrors, 0)
			b.start(t)
			run := b.ends(t, syncrun.Failed)
			require.Contains(t, *run.Error, c.tells)
			require.LessOrEqual(t, run.Read, int64(2*2000+10_000+1000), "of 2000 users")
		})
	}

	t.Run("ACountThatWasTooLowIsAskedForAgain", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 100, 5000)
		b.account.before = func(cursor string) (*userapi.Page, error) {
			b.account.mu.Lock()
			defer b.account.mu.Unlock()
			b.account.users = 15_000 // a sale has begun
			page := b.account.page(cursor)
			return &page, nil
		}
		b.work(t, b.mirrors, 0)
		b.start(t)
		require.Equal(t, int64(15_000), b.ends(t, syncrun.Done).Read)
	})
}

// TestTroubles has the provider or a database fail in each way once, at the second page.
func TestTroubles(t *testing.T) {
	t.Parallel()
	const page = "10"
	passing := map[string]struct {
		err   error
		waits string
	}{
		"RateLimitIsKept":               {fmt.Errorf("list: %w", &userapi.RateLimitError{After: time.Minute}), "the provider asks for a pause of 1m0s"},
		"OutageIsWaitedFor":             {fault.New(fault.ProviderUnavailable, "the provider answers 502"), "the provider answers 502"},
		"AnythingElseIsTriedAgain":      {errors.New("who knows"), "who knows"},
		"TablesThatAreAwayAreWaitedFor": {&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, "dial tcp: refused"},
	}
	for name, c := range passing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 30, 10)
			var asked atomic.Int64
			healed := make(chan struct{})
			b.account.before = func(cursor string) (*userapi.Page, error) {
				select {
				case <-healed:
					return nil, nil
				default:
				}
				if cursor != page {
					return nil, nil
				}
				asked.Add(1)
				return nil, c.err
			}
			b.work(t, b.mirrors, 0)
			b.start(t)
			run := b.eventually(t, func(r syncrun.Run) bool { return r.WaitReason != nil && asked.Load() > 2 })
			require.Contains(t, *run.WaitReason, c.waits)
			require.Equal(t, int64(10), run.Read)
			close(healed)
			run = b.ends(t, syncrun.Done)
			require.Equal(t, int64(30), run.Read)
			require.Nil(t, run.WaitReason)
		})
	}

	final := map[string]struct {
		err   error
		tells string
	}{
		"RefusedCredentialsEndTheRun": {fmt.Errorf("x: %w", fault.New(fault.CredentialsRefused, "Clerk refuses secret_key")), "Clerk refuses secret_key"},
		"AnotherServerEndsTheRun":     {fault.New(fault.ProviderError, "this is no Clerk"), "this is no Clerk"},
		"EndlessTroublesEndTheRun":    {errors.New("who knows"), "given up after many attempts in a row: who knows"},
	}
	for name, c := range final {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 30, 10)
			b.account.before = func(cursor string) (*userapi.Page, error) {
				if cursor == page {
					return nil, c.err
				}
				return nil, nil
			}
			b.work(t, b.mirrors, 0)
			b.start(t)
			run := b.ends(t, syncrun.Failed)
			require.Contains(t, *run.Error, c.tells)
			require.Nil(t, run.WaitReason)
			require.Equal(t, "10 10 10 0", b.mirrored(t), "what was read stays")

			b.account.mu.Lock()
			b.account.before = nil
			b.account.mu.Unlock()
			b.start(t)
			require.Equal(t, int64(30), b.ends(t, syncrun.Done).Read, "a failed run is in nobody's way")
		})
	}

	t.Run("ProjectDatabaseAwayIsWaitedFor", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		away := &mirrors{Mirrors: b.mirrors}
		away.err.Store(&tenantdb.DelayError{After: time.Second, Err: &pgconn.PgError{Code: "57P03", Message: "starting up"}})
		b.work(t, away, 0)
		b.start(t)
		run := b.eventually(t, func(r syncrun.Run) bool { return r.WaitReason != nil })
		require.Equal(t, "the project's database cannot be used now: the server is starting up, shutting down or recovering: wait until it accepts connections again (server message: starting up (SQLSTATE 57P03))", *run.WaitReason)
		require.Equal(t, syncrun.Waiting, run.State)
		away.err.Store(nil)
		b.ends(t, syncrun.Done)
		require.Equal(t, "30 30 30 0", b.mirrored(t))
	})

	t.Run("RemovedIntegrationEndsTheRun", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 30, 10)
		b.start(t)
		b.account.openErr = project.ErrNoIntegration
		b.work(t, b.mirrors, 0)
		require.Contains(t, *b.ends(t, syncrun.Failed).Error, "integration was removed")
	})
}

// mirrors fails as long as err is set.
type mirrors struct {
	syncrun.Mirrors

	err atomic.Pointer[tenantdb.DelayError]
}

func (m *mirrors) Apply(ctx context.Context, id uuid.UUID, events []mirror.Event) ([]mirror.Result, error) {
	if err := m.err.Load(); err != nil {
		return nil, err
	}
	return m.Mirrors.Apply(ctx, id, events)
}

// TestLiveEventsWin has a webhook come between the reading of a page and its application.
func TestLiveEventsWin(t *testing.T) {
	t.Parallel()
	b := setup(t, 20, 10)
	live := func(body string) {
		for _, e := range clerk.New().Decode(provider.Message{MessageID: uuid.NewString(), ReceivedAt: time.Now(), Body: []byte(body)}, provider.Options{}) {
			results, err := b.mirrors.Apply(context.Background(), b.projectID, []mirror.Event{{Event: e, Provider: provider.Clerk, InboxID: 1, ReceivedAt: time.Now()}})
			if err != nil || results[0].Outcome != mirror.Applied {
				panic(fmt.Sprint(results, err))
			}
		}
	}
	b.account.before = func(cursor string) (*userapi.Page, error) {
		page := b.account.page(cursor)
		if cursor == "10" {
			live(`{"type": "user.updated", "data": {"id": "user_000012", "first_name": "Newer", "updated_at": 1770000000000}}`)
			live(`{"type": "user.deleted", "data": {"id": "user_000013", "deleted": true}, "timestamp": 1770000000000}`)
			live(`{"type": "user.updated", "data": {"id": "user_000014", "first_name": "Older", "updated_at": 1750000000000}}`)
		}
		return &page, nil
	}
	b.work(t, b.mirrors, 0)
	b.start(t)
	b.ends(t, syncrun.Done)
	require.Equal(t, "Newer 12, User 13 deleted, User 14", one(t, b.project, `
		SELECT string_agg(concat_ws(' ', first_name, last_name, CASE WHEN deleted_at IS NOT NULL THEN 'deleted' END), ', ' ORDER BY id)
		FROM capydb_auth.users WHERE id BETWEEN 'user_000012' AND 'user_000014'`))
}
