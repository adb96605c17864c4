package clone_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/testkit/hostiletest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A database that lets us in, or not even that, and then never answers: each try ends by itself, the clone says which of the two it is,
// and goes on when it is there again.
func TestDatabasesThatNeverAnswer(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(c *hostiletest.Conn){
		"NotEvenLetIn":  func(c *hostiletest.Conn) { c.WaitDeaf() },
		"NoStatement":   func(c *hostiletest.Conn) { c.LetIn(); c.Wait() },
		"NotTheCopying": func(c *hostiletest.Conn) { c.LetIn(); c.Begin(); c.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "following", 2)
			b.apply(t, aLittleOfAll()...)
			source := b.urls[b.sourceID]
			silent := hostiletest.Postgres(t, serve)
			b.move(b.sourceID, silent.URL)
			b.start(t)
			b.waits(t, "the source's database cannot be used now: ")
			require.NotContains(t, value[string](t, b.control, `SELECT wait_reason FROM authsync.clones`), "s3cret")
			b.move(b.sourceID, source)
			b.caughtUp(t)
			b.same(t)
		})
	}
}

// hanging never answers for one source.
type hanging struct {
	clone.Mirrors

	source uuid.UUID
}

func (h hanging) CloneOrigin(ctx context.Context, source uuid.UUID) (mirror.CloneOrigin, error) {
	if source == h.source {
		<-ctx.Done()
		return mirror.CloneOrigin{}, context.Cause(ctx)
	}
	return h.Mirrors.CloneOrigin(ctx, source)
}

// However many clones a source has whose database never answers: those of other projects are copied meanwhile.
func TestOneSourceDoesNotTakeAllWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	b.apply(t, aLittleOfAll()...)
	silent := uuid.New()
	exec(t, b.control, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'silent', '')`, silent)
	exec(t, b.control, `
		WITH made AS (
			INSERT INTO authsync.projects (id, name, database_url_sealed)
			SELECT gen_random_uuid(), 'preview-' || n, '' FROM generate_series(1, 40) AS n
			RETURNING id
		)
		INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode)
		SELECT m.id, $1, 'silent', 'following' FROM made AS m`, silent)
	b.config.Mirrors = hanging{b.config.Mirrors, silent}
	client, err := jobs.New(jobs.Config{Pool: b.control, Log: slog.New(slog.DiscardHandler), Workers: []jobs.Register{clone.Register(b.config)}})
	require.NoError(t, err)
	for _, id := range ids(t, b, `SELECT project_id FROM authsync.clones WHERE source_project_id = $1`, silent) {
		require.NoError(t, project.RequestClone(t.Context(), b.control, id))
	}
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	waittest.Until(t, func() bool {
		return value[int](t, b.control, `SELECT count(*) FROM authsync.river_job WHERE state = 'running'`) > 0
	}, "nothing is worked")
	require.NoError(t, project.RequestClone(t.Context(), b.control, b.cloneID))
	waittest.Until(t, func() bool {
		return value[bool](t, b.control, `SELECT phase = mode FROM authsync.clones WHERE project_id = $1`, b.cloneID)
	}, "the clone of another project is not copied")
	require.Equal(t, content(t, b.source, "users", true), content(t, b.clone, "users", true))
}

func ids(t *testing.T, b *testBundle, sql string, args ...any) []uuid.UUID {
	t.Helper()
	rows, err := b.control.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(t, err)
	return all
}

// A database that is to become a clone, and lets us in but never answers, is given up.
func TestTargetThatNeverAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	silent := hostiletest.Postgres(t, func(c *hostiletest.Conn) { c.LetIn(); c.Wait() })
	mirrors := mirror.New(mirror.Config{Databases: b.databases, SetupTimeout: 100 * time.Millisecond})
	ctx := waittest.Context(t)
	target := mirror.CloneTarget{URL: silent.URL, SourceURL: pgtest.URL(t, b.source), SourceID: b.sourceID}
	require.ErrorIs(t, mirrors.CheckCloneTarget(ctx, target), context.DeadlineExceeded)
	require.ErrorIs(t, mirrors.Install(ctx, silent.URL, uuid.New(), false), context.DeadlineExceeded)
	require.NoError(t, ctx.Err())
}
