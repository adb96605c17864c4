package crashtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// outage is how long a worker is cut off from the control database: River gives up recording the
// end of a job after three tries, some seconds.
const outage = 7 * time.Second

// Jobs of a process that died, or that was cut off from the control database, run again within seconds.
// The figure is in the output.
func TestOrphanedJobsRunAgain(t *testing.T) {
	t.Parallel()
	const running = `SELECT count(*)::text FROM authsync.river_job WHERE state = 'running' AND kind = 'deliver'`
	const left = `
		SELECT kind || ' ' || state::text FROM authsync.river_job WHERE state = 'running' AND kind <> 'prune_deliveries'
		UNION ALL
		SELECT 'delivery ' || state FROM authsync.deliveries WHERE finished_at IS NULL`
	for name, orphan := range map[string]func(t *testing.T, database *localpg.Server, first *server, end func()){
		"of a process that was killed": func(t *testing.T, _ *localpg.Server, first *server, _ func()) {
			t.Helper()
			first.kill(t)
		},
		"that ended while their process was without the control database": func(t *testing.T, database *localpg.Server, _ *server, end func()) {
			t.Helper()
			database.Kill()
			end()
			wait(t, outage)
			require.NoError(t, database.Restart(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true, TCP: true})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, database.Stop(context.WithoutCancel(t.Context()))) })
			b := prepare(t, database)
			b.server.start(t)
			t.Cleanup(func() { _ = b.server.cmd.Process.Kill() })

			var requests atomic.Int64
			ended := make(chan struct{})
			end := sync.OnceFunc(func() { close(ended) })
			sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if requests.Add(1) > 1 {
					return
				}
				select { // the first one hangs, so that the job is at work
				case <-r.Context().Done():
				case <-ended:
				}
			}))
			t.Cleanup(func() { end(); sink.Close() })
			b.add(t, map[string]any{"name": "hangs", "type": "webhook", "options": map[string]any{"url": sink.URL}, "since": "beginning"})
			b.load.sendUntilTaken(t.Context(), 1)
			waittest.Until(t, func() bool { return requests.Load() == 1 && rowsOf[line](t, b.control, running)[0].Text == "1" }, "no job is at work")

			second := &server{env: b.server.env}
			second.start(t)
			t.Cleanup(func() { _ = second.cmd.Process.Kill() })
			orphan(t, database, b.server, end)
			begun := time.Now()
			waittest.Until(t, func() bool {
				b.control.Reset() // connections of before
				return len(rowsOf[line](t, b.control, left)) == 0
			})
			require.GreaterOrEqual(t, requests.Load(), int64(2))
			t.Logf("healed within %s", time.Since(begun).Round(10*time.Millisecond))
		})
	}
}
