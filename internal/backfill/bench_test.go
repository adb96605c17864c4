package backfill_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/account"
	"github.com/authsync/authsync/internal/backfill"
	"github.com/authsync/authsync/internal/fetchtest"
	"github.com/authsync/authsync/internal/pgtest"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/fetch"
)

// BenchmarkBackfill reads users from a fake Clerk that answers at once, by HTTP,
// with the pages of 500 users that the real one has.
func BenchmarkBackfill(b *testing.B) {
	for _, users := range []int{200_000, 1_000_000} {
		b.Run(strconv.Itoa(users), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				bundle := setup(b, users, 500)
				fake := fetchtest.NewClerk(fetchtest.NewAccount(users), fetchtest.NewClock())
				fake.Unlimited, fake.Key = true, "sk_live_c2VjcmV0LW9mLXRoZS1mYWtl"
				server := httptest.NewServer(fake)
				source, err := clerk.New().NewSource(
					provider.Credentials{SecretKey: provider.Secret(fake.Key)}, provider.Options{BaseURL: server.URL + "/v1"},
					fetch.Deps{Transport: fetchtest.Transport()})
				require.NoError(b, err)
				bundle.accounts = fixed{account.Account{Source: source, Importer: clerk.New()}}
				bundle.start(b)
				client, err := newClient(bundle.control, backfill.Config{
					Pool: bundle.control, Accounts: bundle.accounts, Mirrors: bundle.mirrors, Log: slog.New(slog.DiscardHandler),
				})
				require.NoError(b, err)
				b.StartTimer()
				begun := time.Now()
				require.NoError(b, client.Start(b.Context()))
				require.Eventually(b, func() bool { return bundle.finished(b) }, 20*time.Minute, 10*time.Millisecond)
				b.ReportMetric(float64(users)/time.Since(begun).Seconds(), "users/s")
				b.StopTimer()
				require.NoError(b, client.StopAndCancel(b.Context()))
				server.Close()
				require.Equal(b, fmt.Sprintf("%d %d %d 0", users, users, users), bundle.mirrored(b))
			}
		})
	}
}

// BenchmarkKilledBackfill kills the worker's process ten times on the way to
// 200,000 users, and tells the most memory that one of them used.
func BenchmarkKilledBackfill(b *testing.B) {
	const users, kills = 200_000, 10
	for range b.N {
		bundle := setup(b, users, 500)
		bundle.start(b)
		memory, killed := int64(0), 0
		for !bundle.finished(b) {
			lines := 60 + rand.IntN(120) // of some 2800
			if killed >= kills {
				lines = 1 << 30
			}
			memory = max(memory, bundle.workFreely(b, users, lines))
			killed++
		}
		require.GreaterOrEqual(b, killed, kills)
		require.Equal(b, fmt.Sprintf("%d %d %d 0", users, users, users), bundle.mirrored(b), "each user was created, once")
		require.Equal(b, "400 200000", one(b, bundle.control, `SELECT concat_ws(' ', pages, read) FROM authsync.backfills`))
		require.Less(b, memory, int64(150<<20))
		b.ReportMetric(float64(memory)/(1<<20), "MB-most")
		b.ReportMetric(float64(killed), "processes")
	}
}

// workFreely runs a worker process that need not ask, kills it when it has done
// so many steps or all, and returns the most memory that it used.
func (b *testBundle) workFreely(tb testing.TB, users, lines int) (bytes int64) {
	tb.Helper()
	program, err := os.Executable()
	require.NoError(tb, err)
	cmd := exec.CommandContext(tb.Context(), program, "work",
		pgtest.URL(tb, b.control), pgtest.URL(tb, b.project), strconv.Itoa(users), "500", "freely")
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	enough := make(chan struct{})
	go func() {
		defer close(enough)
		steps := bufio.NewScanner(out)
		for n := 0; n < lines && steps.Scan(); n++ {
		}
	}()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for working := true; working; {
		select {
		case <-enough:
			working = false
		case <-ticker.C:
			working = !b.finished(tb)
		}
	}
	require.NoError(tb, cmd.Process.Kill())
	<-enough
	require.Error(tb, cmd.Wait())
	b.freeJob(tb)
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	require.True(tb, ok)
	return usage.Maxrss << 10 // Linux counts in KiB
}

func (b *testBundle) finished(tb testing.TB) bool {
	tb.Helper()
	return one(tb, b.control, `SELECT (finished_at IS NOT NULL)::text FROM authsync.backfills`) == "true"
}
