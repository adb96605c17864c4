package backfill_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/backfill"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/pgtest"
	"github.com/authsync/authsync/internal/provider/fetch"
	"github.com/authsync/authsync/internal/waittest"
)

const workerName = "worker to be killed"

// work is a worker process: work CONTROL_URL PROJECT_URL USERS PAGE_SIZE, and the
// word freely if it need not ask. It says
// what it is about to do, a line a step, and does it when it gets a byte.
func work(args []string) int {
	users, _ := strconv.Atoi(args[2])
	pageSize, _ := strconv.Atoi(args[3])
	ctx := context.Background()
	pool, err := pgdb.Open(ctx, args[0], pgdb.Options{ApplicationName: workerName})
	if err != nil {
		return 1
	}
	freely := len(args) > 4
	var one sync.Mutex
	goOn := bufio.NewReader(os.Stdin)
	say := func(step string) {
		one.Lock()
		defer one.Unlock()
		fmt.Fprintln(os.Stdout, step)
		if freely {
			return
		}
		if _, err := goOn.ReadByte(); err != nil {
			os.Exit(1)
		}
	}
	a := &tenant{users: users, pageSize: pageSize, before: func(string) (*fetch.Page, error) { say("read"); return nil, nil }}
	client, err := newClient(pool, backfill.Config{
		Pool: pool, Accounts: a, Mirrors: &saying{newMirrors(args[1]), say}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || client.Start(ctx) != nil {
		return 1
	}
	select {} // until it is killed
}

// saying says when users have been applied.
type saying struct {
	*mirror.Mirrors

	say func(string)
}

func (s *saying) Apply(ctx context.Context, id uuid.UUID, events []mirror.Event) ([]mirror.Result, error) {
	s.say("apply")
	defer s.say("applied")
	return s.Mirrors.Apply(ctx, id, events)
}

// TestKilledWorkers kills the process that works on a backfill, at random
// points, and expects each page applied in the end.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	const users, pageSize, kills = 20_000, 250, 12
	b := setup(t, users, pageSize)
	_, err := b.control.Exec(t.Context(), `
		CREATE TABLE moved (n bigint GENERATED ALWAYS AS IDENTITY, cursor bigint, pages bigint, read bigint);
		CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.moved (cursor, pages, read) VALUES (nullif(NEW.cursor, '')::bigint, NEW.pages, NEW.read);
			RETURN NEW;
		END $$;
		CREATE TRIGGER note_move AFTER UPDATE OF cursor ON authsync.backfills FOR EACH ROW EXECUTE FUNCTION note_move()`)
	require.NoError(t, err)
	b.start(t)

	for range kills {
		b.workUntil(t, users, pageSize, rand.IntN(18)+1)
		require.Equal(t, "0", one(t, b.control, `SELECT count(*)::text FROM authsync.backfills WHERE finished_at IS NOT NULL`),
			"it was killed before the end")
	}
	b.work(t, b.mirrors, 0)
	run := b.ends(t, backfill.Done)
	require.Equal(t, int64(users), run.Read)
	require.Equal(t, int64(users), run.Applied+run.Unchanged)
	require.Equal(t, fmt.Sprintf("%d %d %d 0", users, users, users), b.mirrored(t), "each user was created, once")
	require.Equal(t, "true 80 20000", one(t, b.control, `
		SELECT concat_ws(' ', bool_and(ok)::text, max(pages), max(read))
		FROM (SELECT pages, read,
			pages = 1 + coalesce(lag(pages) OVER (ORDER BY n), 0)
			AND read = 250 * pages
			AND (cursor = 250 * pages OR cursor IS NULL AND pages = 80) AS ok FROM public.moved) AS m`),
		"each page was committed once, in order")
}

// workUntil runs a worker process, kills it in the midst of its nth step, and
// frees its job.
func (b *testBundle) workUntil(tb testing.TB, users, pageSize, steps int) {
	tb.Helper()
	program, err := os.Executable()
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	timeout := time.AfterFunc(waittest.Bound, cancel) // nobody waits for ever
	defer timeout.Stop()
	cmd := exec.CommandContext(ctx, program, "work", pgtest.URL(tb, b.control), pgtest.URL(tb, b.project), strconv.Itoa(users), strconv.Itoa(pageSize))
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	in, err := cmd.StdinPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	lines := bufio.NewScanner(out)
	for range steps {
		require.True(tb, lines.Scan(), "the worker ended by itself, or does nothing")
		_, err := in.Write([]byte{'.'})
		require.NoError(tb, err)
	}
	<-time.After(rand.N(5 * time.Millisecond)) // in the midst of the step
	require.NoError(tb, cmd.Process.Kill())    // SIGKILL
	require.Error(tb, cmd.Wait())
	b.freeJob(tb)
}

// freeJob gives a killed worker's job free, as River does when it finds that its worker died.
func (b *testBundle) freeJob(tb testing.TB) {
	tb.Helper()
	waittest.Until(tb, func() bool { // PostgreSQL notices that it is gone
		return one(tb, b.control, `SELECT count(*)::text FROM pg_stat_activity WHERE application_name IN ($1, 'authsync mirror')
			AND datname IN (current_database(), $2)`, workerName, b.project.Config().ConnConfig.Database) == "0"
	})
	_, err := b.control.Exec(tb.Context(), `UPDATE authsync.river_job SET state = 'available', scheduled_at = now() WHERE state = 'running'`)
	require.NoError(tb, err)
	_, err = b.control.Exec(tb.Context(), `DELETE FROM authsync.river_leader`) // the dead one's
	require.NoError(tb, err)
}
