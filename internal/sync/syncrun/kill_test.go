package syncrun_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const workerName = "worker to be killed"

// work is a worker process: work CONTROL_URL PROJECT_URL USERS PAGE_SIZE, and the
// number of organizations if its account has any, or the word freely if it need not ask. It says
// what it is about to do, a line a step, and does it when it gets a byte.
func work(args []string) int {
	users, _ := strconv.Atoi(args[2])
	pageSize, _ := strconv.Atoi(args[3])
	ctx := context.Background()
	pool, err := pgdb.Open(ctx, args[0], pgdb.Options{ApplicationName: workerName})
	if err != nil {
		return 1
	}
	freely, organizations := false, 0
	if len(args) > 4 {
		freely = args[4] == "freely"
		organizations, _ = strconv.Atoi(args[4])
	}
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
	a := &tenant{users: users, pageSize: pageSize, before: func(string) (*userapi.Page, error) { say("read"); return nil, nil }}
	accounts := source.Accounts(a)
	if organizations > 0 {
		accounts = &organized{tenant: a, organizations: organizations, fails: func(string) error { say("read records"); return nil }}
	}
	client, _, err := newClient(pool, syncrun.Config{
		Pool: pool, Accounts: accounts, Mirrors: &saying{mirror.New(mirror.Config{Databases: newDatabases(args[1])}), say}, Log: slog.New(slog.DiscardHandler),
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
	b.noteMoves(t)
	b.start(t)

	for range kills {
		b.workUntil(t, users, pageSize, rand.IntN(18)+1)
		require.Equal(t, "0", one(t, b.control, `SELECT count(*)::text FROM authsync.sync_runs WHERE finished_at IS NOT NULL`),
			"it was killed before the end")
	}
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, int64(users), run.Read)
	require.Equal(t, int64(users), run.Applied+run.Unchanged)
	require.Equal(t, fmt.Sprintf("%d %d %d 0", users, users, users), b.mirrored(t), "each user was created, once")
	b.requireMoves(t, "true 80 20000")
}

// TestKilledWorkersThatReadRecords kills the process while it reads the users and then the other
// records, and expects each page committed once.
func TestKilledWorkersThatReadRecords(t *testing.T) {
	t.Parallel()
	const users, organizations, pageSize, kills = 1_000, 5_000, 250, 5
	b, _ := setupOrganized(t, users, organizations)
	b.organizations = organizations
	b.noteMoves(t)
	b.start(t)
	for range kills {
		b.workUntil(t, users, pageSize, rand.IntN(9)+3)
		require.Equal(t, "0", one(t, b.control, `SELECT count(*)::text FROM authsync.sync_runs WHERE finished_at IS NOT NULL`),
			"it was killed before the end")
	}
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	require.Equal(t, map[record.Type]int64{record.User: users, record.Organization: organizations, record.Membership: organizations}, run.Report.Records)
	require.Equal(t, int64(users+2*organizations), run.Read)
	require.Equal(t, run.Read, run.Applied+run.Unchanged)
	require.Zero(t, run.Failed)
	require.Equal(t, fmt.Sprintf("%d %d %d", organizations, organizations, 2*organizations), b.others(t), "each was created, once")
	require.Equal(t, "true 24", one(t, b.control, `
		SELECT concat_ws(' ', bool_and(ok)::text, max(pages))
		FROM (SELECT pages, pages = 1 + coalesce(lag(pages) OVER (ORDER BY n), 0) AND read > coalesce(lag(read) OVER (ORDER BY n), 0) AS ok FROM public.moved) AS m`))
}

// TestKilledWorkersThatCompareRecords kills the process while a reconcile reads the lists: what it has not
// read yet is not taken for orphaned, and each difference is counted once.
func TestKilledWorkersThatCompareRecords(t *testing.T) {
	t.Parallel()
	const users, organizations, pageSize, kills = 500, 5_000, 250, 5
	b, o := setupOrganized(t, users, organizations)
	b.organizations = organizations
	b.exec(t, `
		INSERT INTO capydb_auth.organizations (id, name, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('org_%s', lpad(i::text, 6, '0')), 'old', 'clerk', '2025-01-01', '2025-01-01', 'evt', 1024 FROM generate_series(0, 5004) AS i`)
	b.exec(t, `
		INSERT INTO capydb_auth.memberships (organization_id, user_id, role, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		SELECT format('org_%s', lpad(i::text, 6, '0')), format('user_%s', lpad(i::text, 6, '0')), 'old', 'clerk', '2025-01-01', '2025-01-01', 'evt', 8192
		FROM generate_series(0, 4999) AS i`)
	b.exec(t, `
		INSERT INTO capydb_auth.memberships (organization_id, user_id, role, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
		VALUES ('org_000001', 'user_000002', 'old', 'clerk', '2025-01-01', '2025-01-01', 'evt', 8192)`)
	_, err := b.store.Start(t.Context(), b.projectID, provider.Clerk, syncrun.Order{Kind: provider.KindReconcile, Force: true})
	require.NoError(t, err)
	for range kills {
		b.workUntil(t, users, pageSize, rand.IntN(9)+3)
		require.Equal(t, "0", one(t, b.control, `SELECT count(*)::text FROM authsync.sync_runs WHERE phase IN ('orphaned', 'confirm')`),
			"it was killed while it read")
	}
	b.work(t, b.mirrors, 0)
	run := b.finishes(t, provider.KindReconcile)
	require.Zero(t, run.Drift.Restarts)
	require.Equal(t, map[record.Type]int64{record.User: users, record.Organization: organizations, record.Membership: organizations}, run.Report.Records)
	require.Equal(t, "0 5000 0 5; 5005 0 0", numbers(t, run, record.Organization))
	require.Equal(t, "0 5000 0 1; 5001 0 0", numbers(t, run, record.Membership))
	require.Len(t, o.askedFor(), 6, "only what no list had")
	require.Equal(t, "5000 5000", one(t, b.project, `
		SELECT concat_ws(' ', (SELECT count(*) FROM capydb_auth.active_organizations), (SELECT count(*) FROM capydb_auth.active_memberships))`))
}

// A worker that is stopped (SIGSTOP) keeps its lock, so its job is taken from it when it has run for too long. When it
// goes on, another one has done the work: it applies its page once more, and nothing comes of it.
func TestAWorkerThatWasStoppedHasNoEffect(t *testing.T) {
	t.Parallel()
	const users, pageSize = 750, 250
	b := setup(t, users, pageSize)
	b.noteMoves(t)
	_, err := b.control.Exec(t.Context(), `
		CREATE TABLE tried (application text);
		CREATE FUNCTION note_try() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.tried VALUES (current_setting('application_name'));
			RETURN NULL;
		END $$;
		CREATE TRIGGER note_try AFTER UPDATE OF cursor ON authsync.sync_runs FOR EACH STATEMENT EXECUTE FUNCTION note_try()`)
	require.NoError(t, err)
	b.start(t)
	w := b.startWorker(t, users, pageSize)
	for w.step(t) != "apply" {
		w.goOn(t)
	}
	require.NoError(t, w.Process.Signal(syscall.SIGSTOP))
	_, err = b.control.Exec(t.Context(), `SELECT authsync.rescue_jobs('another', '{}', '{}', '0', '30 seconds', NULL)`) // it runs for too long
	require.NoError(t, err)
	b.work(t, b.mirrors, 0)
	run := b.ends(t, syncrun.Done)
	b.restful(t)

	require.NoError(t, w.Process.Signal(syscall.SIGCONT))
	w.goOn(t)
	go w.goOnFreely()
	waittest.Until(t, func() bool { // it has tried to note that its page is applied
		return one(t, b.control, `SELECT count(*)::text FROM tried WHERE application = $1`, workerName) == "1"
	})
	require.NoError(t, w.Process.Kill())
	require.Error(t, w.Wait())
	require.Equal(t, run, b.ends(t, syncrun.Done))
	require.Equal(t, fmt.Sprintf("%d %d %d 0", users, users, users), b.mirrored(t), "each user was created, once")
	b.requireMoves(t, "true 3 750")
	require.Equal(t, "completed", one(t, b.control, `SELECT string_agg(state::text, ' ') FROM authsync.river_job WHERE kind = 'backfill'`))
}

// noteMoves keeps how a run moves on; see requireMoves.
func (b *testBundle) noteMoves(t *testing.T) {
	t.Helper()
	_, err := b.control.Exec(t.Context(), `
		CREATE TABLE moved (n bigint GENERATED ALWAYS AS IDENTITY, cursor bigint, pages bigint, read bigint);
		CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.moved (cursor, pages, read) VALUES (nullif(NEW.cursor, '')::bigint, NEW.pages, NEW.read);
			RETURN NEW;
		END $$;
		CREATE TRIGGER note_move AFTER UPDATE OF cursor ON authsync.sync_runs FOR EACH ROW EXECUTE FUNCTION note_move()`)
	require.NoError(t, err)
}

// requireMoves requires that each page of 250 users was committed once and in order: true, how many pages and users there were.
func (b *testBundle) requireMoves(t *testing.T, want string) {
	t.Helper()
	require.Equal(t, want, one(t, b.control, `
		SELECT concat_ws(' ', bool_and(ok)::text, max(pages), max(read))
		FROM (SELECT pages, read,
			pages = 1 + coalesce(lag(pages) OVER (ORDER BY n), 0)
			AND read = 250 * pages
			AND (cursor = 250 * pages OR cursor IS NULL AND read = (SELECT max(read) FROM public.moved)) AS ok FROM public.moved) AS m`),
		"each page was committed once, in order")
}

// process is a worker process that says what it is about to do, and waits until it may.
type process struct {
	*exec.Cmd

	lines *bufio.Scanner
	in    io.Writer
}

func (b *testBundle) startWorker(tb testing.TB, users, pageSize int) *process {
	tb.Helper()
	program, err := os.Executable()
	require.NoError(tb, err)
	cmd := exec.CommandContext(waittest.Context(tb), program, "work", // nobody waits for ever
		pgtest.URL(tb, b.control), pgtest.URL(tb, b.project), strconv.Itoa(users), strconv.Itoa(pageSize), strconv.Itoa(b.organizations))
	out, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	in, err := cmd.StdinPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	return &process{Cmd: cmd, lines: bufio.NewScanner(out), in: in}
}

// step gives what the worker is about to do.
func (p *process) step(tb testing.TB) string {
	tb.Helper()
	require.True(tb, p.lines.Scan(), "the worker ended by itself, or does nothing")
	return p.lines.Text()
}

func (p *process) goOn(tb testing.TB) {
	tb.Helper()
	_, err := p.in.Write([]byte{'.'})
	require.NoError(tb, err)
}

// goOnFreely lets the worker do whatever it is about to, until it ends.
func (p *process) goOnFreely() {
	for p.lines.Scan() {
		if _, err := p.in.Write([]byte{'.'}); err != nil {
			return
		}
	}
}

// workUntil runs a worker process, kills it in the midst of its nth step, and
// frees its job.
func (b *testBundle) workUntil(tb testing.TB, users, pageSize, steps int) {
	tb.Helper()
	w := b.startWorker(tb, users, pageSize)
	for range steps {
		w.step(tb)
		w.goOn(tb)
	}
	<-time.After(rand.N(5 * time.Millisecond)) // in the midst of the step
	require.NoError(tb, w.Process.Kill())      // SIGKILL
	require.Error(tb, w.Wait())
	b.freeJob(tb)
}

// freeJob rescues a killed worker's job, as other processes do.
func (b *testBundle) freeJob(tb testing.TB) {
	tb.Helper()
	waittest.Until(tb, func() bool { // PostgreSQL notices that it is gone
		return one(tb, b.control, `SELECT count(*)::text FROM pg_stat_activity WHERE application_name IN ($1, 'authsync mirror')
			AND datname IN (current_database(), $2)`, workerName, b.project.Config().ConnConfig.Database) == "0"
	})
	_, err := b.control.Exec(tb.Context(), `
		SELECT authsync.rescue_jobs('another', '{}', ARRAY(SELECT DISTINCT unnest(j.attempted_by) FROM authsync.river_job AS j), '45 seconds', '30 seconds', NULL)`)
	require.NoError(tb, err)
	require.Equal(tb, "0", one(tb, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE state = 'running'`))
	jobstest.Retry(tb, b.control, provider.KindBackfill, provider.KindReconcile) // it waits, because it has outlived several workers
}
