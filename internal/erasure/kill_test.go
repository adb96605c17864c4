package erasure_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// TestMain is also the worker that TestKilledErasure kills: the test's own program, called with the word work.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(work(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

const (
	workerName = "worker to be killed"
	hisID      = "user_zq7Vt3Wm9LpXk2"
	hisEmail   = "quillon@example.org"
)

// vault keeps what an erasure knows as it is.
type vault struct{ say func(step string) }

func (vault) EnsureErasureKey(context.Context, uuid.UUID) ([]byte, error) {
	return make([]byte, 32), nil
}

// SealErasure is called when a step is done, before it is committed.
func (v vault) SealErasure(_, _ uuid.UUID, plain []byte) ([]byte, error) {
	v.say("commit")
	return plain, nil
}

// OpenErasure is called at the beginning of a step.
func (v vault) OpenErasure(_, _ uuid.UUID, sealed []byte) ([]byte, error) {
	v.say("begin")
	return sealed, nil
}

// work is a worker process. It says what it is about to do, a line each, and does it when it gets a byte.
func work(controlURL, projectURL string) int {
	ctx := context.Background()
	pool, err := pgdb.Open(ctx, controlURL, pgdb.Options{ApplicationName: workerName})
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	goOn := make(chan byte)
	go func() {
		for in := bufio.NewReader(os.Stdin); ; {
			b, err := in.ReadByte()
			if err != nil {
				os.Exit(1) // the test is gone
			}
			goOn <- b
		}
	}()
	var one sync.Mutex
	say := func(step string) {
		one.Lock()
		defer one.Unlock()
		fmt.Fprintln(os.Stdout, step)
		<-goOn
	}
	log := slog.New(slog.DiscardHandler)
	databases := tenantdb.New(tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return projectURL, nil }, Log: log})
	client, err := jobs.New(jobs.Config{Pool: pool, Log: log, Workers: []jobs.Register{erasure.Register(erasure.Config{
		Pool: pool, Vault: vault{say}, Log: log, SettleAfter: time.Nanosecond,
		Mirrors: mirror.New(mirror.Config{Databases: databases, Ledger: repair.NewLedger(pool, nil), Log: log}),
	}), func(_ *river.Workers, queues map[string]river.QueueConfig) {
		queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: 1}
	}}})
	if err == nil {
		err = client.Start(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		return 1
	}
	select {} // until it is killed
}

// worker is such a process.
type worker struct {
	*exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func startWorker(t *testing.T, control, project *pgxpool.Pool) *worker {
	t.Helper()
	w := &worker{Cmd: exec.Command(os.Args[0], "work", pgtest.URL(t, control), pgtest.URL(t, project)), lines: make(chan string)}
	w.Stderr = os.Stderr
	var err error
	w.in, err = w.StdinPipe()
	require.NoError(t, err)
	out, err := w.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, w.Start())
	go func() {
		defer close(w.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			w.lines <- s.Text()
		}
	}()
	return w
}

// kill ends it by SIGKILL.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, w.Process.Kill())
	for range w.lines {
	}
	require.Error(t, w.Wait())
}

func value[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func exec1(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// live gives the person something in every table that an erasure empties.
func live(t *testing.T, control, project *pgxpool.Pool, projectID uuid.UUID) {
	t.Helper()
	exec1(t, control, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, projectID)
	require.NoError(t, inbox.Maintain(t.Context(), control))
	exec1(t, control, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'clerk', now(), '{}', convert_to('{"type": "user.updated", "data": {"id": "' || $2 || '", "email": "' || $3 || '"}}', 'UTF8')
			FROM generate_series(1, 3)
			RETURNING id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
		SELECT i.id, 0, i.received_at, $1, 'evt_' || i.id, 'user.updated', $2, 'applied', now() FROM i ORDER BY i.id LIMIT 2`, projectID, hisID, hisEmail)
	exec1(t, project, `INSERT INTO capydb_auth.users (id, email, provider) VALUES ($1, $2, 'clerk')`, hisID, hisEmail)
	exec1(t, project, `INSERT INTO capydb_auth.memberships (organization_id, user_id, provider) VALUES ('org_1', $1, 'clerk')`, hisID)
	exec1(t, project, `INSERT INTO capydb_auth.invitations (id, email, provider) VALUES ('inv_1', $1, 'clerk')`, hisEmail)
	exec1(t, project, `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, after, provider, event_id, event_at)
		SELECT 'user', $1, 'updated', '{email}', jsonb_build_object('id', $1::text, 'email', $2::text), 'clerk', 'evt_' || n, now()
		FROM generate_series(1, 5000) AS n`, hisID, hisEmail)
}

// An erasure whose process is killed by SIGKILL in the midst of each step goes on and ends with one receipt.
func TestKilledErasure(t *testing.T) {
	t.Parallel()
	control, project, projectID := pgtest.Control(t), pgtest.Project(t), uuid.New()
	live(t, control, project, projectID)
	store := &erasure.Store{Pool: control, Vault: vault{func(string) {}}, Now: time.Now}
	e, started, err := store.Start(t.Context(), projectID, hisID, "the test")
	require.NoError(t, err)
	require.True(t, started)
	isDone := func() bool {
		return value[string](t, control, `SELECT state FROM authsync.erasures WHERE id = $1`, e.ID) == erasure.Done
	}
	killed := map[string]bool{}
	// Each worker repeats the step in which the one before it was killed, and is killed in the next one, before that is committed.
	for !isDone() {
		w := startWorker(t, control, project)
		for i := range 4 {
			line := ""
			waittest.Until(t, func() bool {
				select {
				case said, alive := <-w.lines:
					require.True(t, alive, "the worker ended by itself")
					line = said
					return true
				default:
					return isDone()
				}
			}, "the worker does nothing")
			if line == "" {
				break
			}
			if i == 3 {
				killed[line+" "+value[string](t, control, `SELECT phase FROM authsync.erasures WHERE id = $1`, e.ID)] = true
				break
			}
			_, err := w.in.Write([]byte{'\n'})
			require.NoError(t, err)
		}
		w.kill(t)
		waittest.Until(t, func() bool { // PostgreSQL notices that it is gone
			return value[int](t, control, `SELECT count(*) FROM pg_stat_activity WHERE application_name IN ($1, 'authsync mirror')
				AND datname IN (current_database(), $2)`, workerName, project.Config().ConnConfig.Database) == 0
		}, "its connections stay")
		exec1(t, control, `
			SELECT authsync.rescue_jobs('another', '{}', ARRAY(SELECT DISTINCT unnest(j.attempted_by) FROM authsync.river_job AS j), '45 seconds', '30 seconds', NULL)`)
		jobstest.Retry(t, control, jobs.EraseUser) // it waits, because it has outlived several workers
	}
	for _, phase := range []string{"mark", "ledger", "mirror", "invitations", "events", "inbox", "remains", "clones", "destinations", "finish"} {
		require.True(t, killed["commit "+phase], "%s: %v", phase, killed)
	}
	receipt, err := store.Find(t.Context(), projectID, e.ID)
	require.NoError(t, err)
	require.Equal(t, 1, value[int](t, control, `SELECT count(*) FROM authsync.erasures`))
	require.NotNil(t, receipt.FinishedAt)
	require.Equal(t, map[string]int64{"changes": 0, "invitations": 0, "memberships": 0, "users": 0}, map[string]int64{
		"changes":     value[int64](t, project, `SELECT count(*) FROM capydb_auth.changes`),
		"invitations": value[int64](t, project, `SELECT count(*) FROM capydb_auth.invitations`),
		"memberships": value[int64](t, project, `SELECT count(*) FROM capydb_auth.memberships`),
		"users":       value[int64](t, project, `SELECT count(*) FROM capydb_auth.users`),
	})
	require.Equal(t, 2, value[int](t, project, `SELECT count(*) FROM capydb_auth.erasures`), "the person and the invitation")
	require.Zero(t, value[int](t, control, `
		SELECT count(*) FROM authsync.inbox AS i WHERE position($1::text IN convert_from(i.body, 'UTF8')) > 0`, hisID))
	require.Zero(t, value[int](t, control, `SELECT count(*) FROM authsync.event_outcomes WHERE user_id IS NOT NULL`))
	// The last one may have been killed before its job had ended, too.
	last := startWorker(t, control, project)
	waittest.Until(t, func() bool {
		return value[int](t, control, `SELECT count(*) FROM authsync.job_requests WHERE kind = $1 AND job_id IS NOT NULL`, jobs.EraseUser) == 0
	}, "the job does not end")
	last.kill(t)
	require.Equal(t, 1, value[int](t, control, `SELECT count(*) FROM authsync.erasures WHERE state = $1`, erasure.Done))
}
