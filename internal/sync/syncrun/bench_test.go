package syncrun_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// BenchmarkKilledBackfill kills the worker's process ten times on the way to
// 200,000 users, and tells the most memory that one of them used: make bench/kill.
// TestKilledWorkers does the same with fewer users, and looks at every page.
func BenchmarkKilledBackfill(b *testing.B) {
	const users, kills = 200_000, 10
	for range b.N {
		bundle := setup(b, users, 500)
		bundle.start(b)
		memory, killed := int64(0), 0
		for !bundle.finished(b) {
			lines := 30 + rand.IntN(60) // of some 1200
			if killed >= kills {
				lines = 1 << 30
			}
			memory = max(memory, bundle.workFreely(b, users, lines))
			killed++
		}
		require.GreaterOrEqual(b, killed, kills)
		require.Equal(b, fmt.Sprintf("%d %d %d 0", users, users, users), bundle.mirrored(b), "each user was created, once")
		require.Equal(b, "400 200000", one(b, bundle.control, `SELECT concat_ws(' ', pages, read) FROM authsync.sync_runs`))
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
	return one(tb, b.control, `SELECT (finished_at IS NOT NULL)::text FROM authsync.sync_runs`) == "true"
}
