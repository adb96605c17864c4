package apply_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// directory is a Directory that knows Auth0 for every project but those gone.
type directory struct {
	gone map[uuid.UUID]bool
	kind func(provider.Provider) provider.Provider // nil: as it is
}

func (d directory) Lookup(_ context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	if d.gone[id] {
		return project.Endpoint{}, project.ErrNoProject
	}
	kind, err := registry.Lookup(name)
	if err == nil && d.kind != nil {
		kind = d.kind(kind)
	}
	return project.Endpoint{ProjectID: id, Provider: kind}, err
}

// mirrors lets a test come between the mirror and the worker.
type mirrors struct {
	*mirror.Mirrors

	after func() error // nil: nothing
}

func (m *mirrors) Apply(ctx context.Context, id uuid.UUID, events []mirror.Event) ([]mirror.Result, error) {
	results, err := m.Mirrors.Apply(ctx, id, events)
	if err == nil && m.after != nil {
		err = m.after()
	}
	return results, err
}

// workers are few, so that projects have to share them.
const workers = 16

type testBundle struct {
	control, project *pgxpool.Pool
	projectID        uuid.UUID // its database is there
	awayID           uuid.UUID // its database is not
	goneID           uuid.UUID // it is no project any more
	inbox            *inbox.Inbox
	jobs             *jobs.Client
	refreshes        *refreshes

	others    atomic.Bool // are at work
	mu        sync.Mutex
	databases map[uuid.UUID]string // URLs
}

// setup starts workers; after is called between the mirror's commit and theirs.
func setup(t *testing.T, after func() error) *testBundle {
	t.Helper()
	return setupWith(t, after, func(*apply.Config) {})
}

// setupWith is setup with a configuration that change changes.
func setupWith(t *testing.T, after func() error, change func(*apply.Config)) *testBundle {
	t.Helper()
	b := &testBundle{
		control: pgtest.Control(t), project: pgtest.Project(t),
		projectID: uuid.New(), awayID: uuid.New(), goneID: uuid.New(), refreshes: &refreshes{},
	}
	_, err := b.control.Exec(t.Context(), `CREATE TABLE requested (project_id uuid, provider text, user_id text)`)
	require.NoError(t, err)
	// As at the start of every process: partitions are made before deliveries come.
	require.NoError(t, inbox.Maintain(t.Context(), b.control))
	log := slog.New(slog.DiscardHandler)
	inserts, err := inbox.NewJobs(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	b.inbox = inbox.New(b.control, inserts, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.Background())) })
	b.databases = map[uuid.UUID]string{
		b.projectID: pgtest.URL(t, b.project),
		b.awayID:    "postgres://nobody@127.0.0.1:1/nowhere",
	}
	databases := tenantdb.New(tenantdb.Config{
		URL: func(_ context.Context, id uuid.UUID) (string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if url, ok := b.databases[id]; ok {
				return url, nil
			}
			return "", project.ErrNoProject
		},
		Log: log, Workers: workers,
	})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	m := mirror.New(mirror.Config{Databases: databases, Log: log})

	config := apply.Config{
		Pool: b.control, Inbox: b.inbox, Databases: databases, Mirrors: &mirrors{m, after}, Refreshes: b.refreshes, Log: log, Retention: 24 * time.Hour,
		Directory:    directory{gone: map[uuid.UUID]bool{b.goneID: true}},
		OthersActive: func(*rivertype.JobRow) bool { return b.others.Load() },
	}
	change(&config)
	client, err := jobs.New(jobs.Config{
		Pool: b.control, Log: log, Retention: config.Retention,
		Workers: []jobs.Register{apply.Register(config, workers)}, Periodic: apply.Periodic(),
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	b.jobs = client
	t.Cleanup(func() { b.logJobs(t) })
	return b
}

// logJobs shows the jobs of a test that failed.
func (b *testBundle) logJobs(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	var jobs string
	require.NoError(t, b.control.QueryRow(context.Background(), `
		SELECT string_agg(concat_ws(' ', id, kind, state, attempt, scheduled_at, errors), E'\n' ORDER BY id)
		FROM authsync.river_job`).Scan(&jobs))
	t.Log(jobs)
}

func (b *testBundle) deliver(t *testing.T, projectID uuid.UUID, body string) int64 {
	t.Helper()
	id, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: projectID, Provider: provider.Auth0, Body: []byte(body)})
	require.NoError(t, err)
	return id
}

// outcome reads what happened to an event; Pending where nothing did yet.
func (b *testBundle) outcome(t *testing.T, inboxID int64, ordinal int) (outcome, reason string) {
	t.Helper()
	err := b.control.QueryRow(t.Context(), `
		SELECT outcome, coalesce(reason, '') FROM authsync.event_outcomes
		WHERE inbox_id = $1 AND ordinal = $2`, inboxID, ordinal).Scan(&outcome, &reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return inbox.Pending, ""
	}
	require.NoError(t, err)
	return outcome, reason
}

// eventually waits for an outcome.
func (b *testBundle) eventually(t *testing.T, inboxID int64, ordinal int, want string) (reason string) {
	t.Helper()
	waittest.Until(t, func() bool {
		var outcome string
		outcome, reason = b.outcome(t, inboxID, ordinal)
		return outcome == want
	}, "event %d of delivery %d does not become %s", ordinal, inboxID, want)
	return reason
}

type job struct {
	ID       int64
	State    rivertype.JobState
	Attempt  int
	Errors   []string
	Metadata json.RawMessage
}

// job reads the newest job of a kind.
func (b *testBundle) job(t *testing.T, kind string) job {
	t.Helper()
	rows, err := b.control.Query(t.Context(), `
		SELECT id, state, attempt, metadata,
		       ARRAY(SELECT e ->> 'error' FROM unnest(errors) AS e) AS errors
		FROM authsync.river_job WHERE kind = $1 ORDER BY id DESC LIMIT 1`, kind)
	require.NoError(t, err)
	found, err := pgx.CollectOneRow(rows, pgx.RowToStructByName[job])
	require.NoError(t, err)
	return found
}

// settled waits until nothing waits and no project has a job.
func (b *testBundle) settled(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		return value[bool](t, b, `
			SELECT NOT EXISTS (SELECT FROM authsync.inbox_pending)
			   AND NOT EXISTS (SELECT FROM authsync.job_requests WHERE kind = 'apply_inbox' AND job_id IS NOT NULL)`)
	})
}

func (b *testBundle) changes(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.project.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.user_changes`).Scan(&n))
	return n
}

func created(event, user, email string) string {
	return fmt.Sprintf(`{"type": "user.created", "id": %q, "time": "2026-03-01T12:00:00Z",
		"data": {"object": {"user_id": %q, "email": %q, "updated_at": "2026-03-01T12:00:00Z"}}}`, event, user, email)
}

func TestDeliveryBecomesARow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "ada@example.com"))
	b.eventually(t, id, 0, inbox.Applied)
	var email string
	require.NoError(t, b.project.QueryRow(t.Context(), `SELECT email FROM capydb_auth.users WHERE id = 'auth0|1'`).Scan(&email))
	require.Equal(t, "ada@example.com", email)
	require.Equal(t, rivertype.JobStateCompleted, b.job(t, "apply_inbox").State)
}

func TestFailingEventGetsAJobOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_bad CHECK (email <> 'bad@example.com')`)
	require.NoError(t, err)
	good, bad := created("evt_2", "auth0|2", "good@example.com"), created("evt_1", "auth0|1", "bad@example.com")
	id := b.deliver(t, b.projectID, "["+good+","+bad+"]")
	b.eventually(t, id, 0, inbox.Applied)
	reason := b.eventually(t, id, 1, inbox.Failed)
	require.Contains(t, reason, `violates check constraint "no_bad"`)
	require.Contains(t, reason, "SQLSTATE 23514")
	require.NotContains(t, reason, "bad@example.com", "the detail quotes the row")

	waittest.Until(t, func() bool { return len(b.job(t, "retry_event").Errors) == 1 })
	failed := b.job(t, "retry_event")
	require.Equal(t, fmt.Sprintf("event %d.1 failed: SQLSTATE 23514 (integrity constraint violation); authsync.events has the whole reason", id), failed.Errors[0])
	require.Contains(t, []rivertype.JobState{rivertype.JobStateRetryable, rivertype.JobStateAvailable}, failed.State)

	_, err = b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users DROP CONSTRAINT no_bad`)
	require.NoError(t, err)
	_, err = b.jobs.JobRetry(t.Context(), failed.ID) // as River UI does
	require.NoError(t, err)
	b.eventually(t, id, 1, inbox.Applied)
}

// What failed may fail by a trigger that takes long, and everybody else of the project waits meanwhile.
func TestAnEventIsTriedAgainForAShortTime(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, err := b.project.Exec(t.Context(), `
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'within %', current_setting('statement_timeout'); END $$;
		CREATE TRIGGER refuse AFTER INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	require.NoError(t, err)
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "ada@example.com"))
	b.eventually(t, id, 0, inbox.Failed)
	waittest.Until(t, func() bool { return len(b.job(t, "retry_event").Errors) == 1 })
	require.Contains(t, b.eventually(t, id, 0, inbox.Failed), "within 5020ms")
}

func TestEventThatCannotBeUnderstoodFailsAndItsJobIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.projectID, `{"type": "user.created", "data": {"object": {"user_id": 7}}}`)
	reason := b.eventually(t, id, 0, inbox.Failed)
	require.Contains(t, reason, "user_id")
	waittest.Until(t, func() bool {
		return b.job(t, "retry_event").State == rivertype.JobStateCancelled
	})
	require.Contains(t, b.job(t, "retry_event").Errors[0], "authsync.events has the reason")
}

func TestProjectThatIsGoneFailsItsEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.goneID, created("evt_1", "auth0|1", "a@example.com"))
	require.Contains(t, b.eventually(t, id, 0, inbox.Failed), "the project was deleted")
}

func TestDatabaseAwayCostsNoAttemptAndDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const waiting = 3 * workers
	for i := range waiting {
		b.deliver(t, b.awayID, created(fmt.Sprint("evt_", i), "auth0|1", "a@example.com"))
	}
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com"))
	b.eventually(t, id, 0, inbox.Applied)

	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, b.control.QueryRow(t.Context(), `
			SELECT count(*) FROM authsync.river_job
			WHERE args ->> 'project_id' = $1 AND metadata -> 'output' ->> 'wait_reason' LIKE '%nothing listens%'
			  AND attempt <= 1 AND errors IS NULL`, b.awayID.String()).Scan(&n))
		return n == 1
	})
}

// A project whose every call takes long must not take all workers.
func TestSlowProjectLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	slow := pgtest.Project(t)
	_, err := slow.Exec(t.Context(), `
		CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
		CREATE TRIGGER dawdle AFTER INSERT ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION public.dawdle()`)
	require.NoError(t, err)
	slowID := uuid.New()
	b.mu.Lock()
	b.databases[slowID] = pgtest.URL(t, slow)
	b.mu.Unlock()

	const jobs = 4 * workers
	var last int64
	for i := range jobs {
		last = b.deliver(t, slowID, created(fmt.Sprint("evt_", i), fmt.Sprint("auth0|", i), "a@example.com"))
	}
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com"))
	b.eventually(t, id, 0, inbox.Applied)
	outcome, _ := b.outcome(t, last, 0)
	require.Equal(t, inbox.Pending, outcome, "the slow project is not through yet, so something was tested")
}

// A worker dies after the mirror's commit and before its own.
func TestJobRunAgainComesToTheSameOutcome(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	b := setup(t, func() error {
		if calls.Add(1) == 1 {
			return errors.New("the worker died here")
		}
		return nil
	})
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com"))
	b.eventually(t, id, 0, inbox.Applied)
	require.EqualValues(t, 2, calls.Load())
	require.Equal(t, 1, b.changes(t))
}

// Outcomes of new messages are recorded in a way that those of a replay, which are there already, cannot be.
func TestReplayOfManyBesideNewOnesRecordsAllOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	var ids []int64
	for i := range 20 {
		ids = append(ids, b.deliver(t, b.projectID, created(fmt.Sprintf("evt_%d", i), fmt.Sprintf("auth0|%d", i), "a@example.com")))
	}
	b.settled(t)
	done, err := b.inbox.Replay(t.Context(), inbox.Filter{InboxIDs: ids}, "", waittest.Bound)
	require.NoError(t, err)
	require.Equal(t, 1, done.Jobs)
	ids = append(ids, b.deliver(t, b.projectID, created("evt_last", "auth0|last", "a@example.com")))
	b.settled(t)
	for _, id := range ids {
		outcome, reason := b.outcome(t, id, 0)
		require.Equal(t, inbox.Applied, outcome, reason)
	}
	require.Equal(t, 21, b.changes(t))
}

func TestReplayOfAnAppliedDeliveryChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "a@example.com"))
	b.eventually(t, id, 0, inbox.Applied)
	done, err := b.inbox.Replay(t.Context(), inbox.Filter{InboxIDs: []int64{id}}, "", waittest.Bound)
	require.NoError(t, err)
	require.Equal(t, 1, done.Jobs)
	b.settled(t)
	outcome, _ := b.outcome(t, id, 0)
	require.Equal(t, inbox.Applied, outcome)
	require.Equal(t, 1, b.changes(t))
}
