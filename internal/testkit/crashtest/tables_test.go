package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	tableRounds      = 6
	shortTableRounds = 3
	tableWriters     = 3
)

// Two servers read what SQL changes in the tables of Better Auth, of which some is pushed as well, while they and
// PostgreSQL are killed: the mirror has the rows of the tables, and the feed has each change once.
func TestTablesArePulledWhileServersDie(t *testing.T) {
	t.Parallel()
	seed := chooseSeed(t)
	random := rand.New(rand.NewPCG(seed, 3))
	ctx := t.Context()
	database := startDatabase(t)
	b := prepare(t, database)
	load := b.fillTables(t, database)

	servers := b.startTwo(t)
	const connected = `
		SELECT count(*) FROM authsync.pull_health AS h
		WHERE h.state = 'connected' AND NOT EXISTS (SELECT FROM authsync.sync_runs AS r WHERE r.finished_at IS NULL)`
	waittest.Until(t, func() bool { return b.askInt(t, connected) == 1 }, "seed %d", seed)
	const runs = `SELECT count(*) FROM authsync.sync_runs`
	before, queue := b.askInt(t, runs), b.queue(t)

	writing, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	for n := range uint64(tableWriters) {
		ended.Go(func() { load.run(writing, b, rand.New(rand.NewPCG(seed, 10+n))) })
	}
	count := tableRounds
	if testing.Short() {
		count = shortTableRounds
	}
	const pulled = `SELECT messages FROM authsync.pulls`
	for round := 1; round <= count; round++ {
		so := b.askInt(t, pulled)
		waittest.Until(t, func() bool { return b.askInt(t, pulled) > so }, "seed %d, round %d", seed, round)
		wait(t, time.Duration(random.IntN(1000))*time.Millisecond)
		moment, resume := "at some moment", func() {}
		switch round % 3 {
		case 0:
			moment = "before the changes are in the inbox"
			resume = stall(t, b.control, `SELECT FROM authsync.pulls FOR UPDATE`, `%UPDATE authsync.pulls%messages%`)
		case 1:
			moment = "before the changes are deleted that are in the inbox"
			resume = stall(t, b.project, `SELECT FROM `+queue+` FOR UPDATE`, `DELETE FROM%changes%`)
		}
		victim := "the servers"
		if random.IntN(4) == 0 {
			victim = "PostgreSQL"
			database.Kill()
			resume()
			require.NoError(t, database.Restart(ctx), "seed %d, round %d", seed, round)
		} else {
			for _, s := range servers {
				s.kill(t)
			}
			resume()
			for _, s := range servers {
				s.start(t)
			}
		}
		t.Logf("round %d: killed %s %s; %d changes so far, %d messages pulled", round, victim, moment, load.written.Load(), so)
	}
	stop()
	ended.Wait()

	what := fmt.Sprintf("seed %d, after %d rounds with %d changes", seed, count, load.written.Load())
	waittest.Until(t, func() bool {
		var left int
		err := b.project.QueryRow(ctx, `SELECT count(*) FROM `+queue).Scan(&left)
		return err == nil && left == 0
	}, what)
	b.requireHealed(t, what)
	require.Empty(t, rowsOf[line](t, b.project, tableDifferences), what)
	require.Empty(t, rowsOf[line](t, b.project, doubledChanges), what)
	require.Equal(t, before, b.askInt(t, runs), "%s: a reconcile, which finds what was lost", what)
	require.Positive(t, load.pushed.Load(), what)
}

// stall locks rows and waits until a statement waits for one of them.
func stall(t *testing.T, pool *pgxpool.Pool, lock, statement string) (resume func()) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var tx pgx.Tx
	waittest.Until(t, func() bool {
		var err error
		if tx, err = pool.Begin(ctx); err != nil {
			return false // a connection of before the last crash
		}
		locked, err := tx.Exec(ctx, lock)
		if err == nil && locked.RowsAffected() > 0 {
			return true
		}
		_ = tx.Rollback(ctx)
		return false
	})
	waittest.Until(t, func() bool {
		var waiting bool
		err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE $1 AND cardinality(pg_blocking_pids(pid)) > 0)`, statement).Scan(&waiting)
		return err == nil && waiting
	})
	return func() { _ = tx.Rollback(ctx) } // PostgreSQL may have been killed
}

// fillTables makes the tables that Better Auth has in the project's database, and turns pulling on.
func (b *bundle) fillTables(t *testing.T, database *localpg.Server) *tableLoad {
	t.Helper()
	ctx := t.Context()
	app, err := pgdb.Open(ctx, database.URL("shop"), pgdb.Options{MaxConns: tableWriters})
	require.NoError(t, err)
	t.Cleanup(app.Close)
	_, err = app.Exec(ctx, `
		CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, email text NOT NULL, "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL);
		CREATE TABLE organization (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL, "createdAt" timestamptz NOT NULL);
		CREATE TABLE member (
			id text PRIMARY KEY, "organizationId" text NOT NULL REFERENCES organization ON DELETE CASCADE,
			"userId" text NOT NULL REFERENCES "user" ON DELETE CASCADE, role text NOT NULL, "createdAt" timestamptz NOT NULL,
			UNIQUE ("organizationId", "userId")
		)`)
	require.NoError(t, err)
	projectID, err := uuid.Parse(b.load.projectID)
	require.NoError(t, err)
	_, err = b.store.PutIntegration(ctx, projectID, provider.BetterAuth, nil,
		json.RawMessage(`{"pull": true, "record_types": ["users", "organizations"], "reconcile": {"every": "never"}}`))
	require.NoError(t, err)
	return &tableLoad{app: app}
}

// tableLoad changes the tables by SQL. Every third change is pushed as well, as Better Auth's hooks would.
type tableLoad struct {
	app             *pgxpool.Pool
	n               atomic.Int64
	written, pushed atomic.Int64
}

type tableChange struct{ event, sql string }

// tableChanges are what one statement does to one row, or to none. $1 is a new number, $2 a random one.
func tableChanges() []tableChange {
	return []tableChange{
		{"user.created", `INSERT INTO "user" AS t SELECT 'u' || $1, 'User ' || $2, $1 || '@example.com', now, now FROM clock_timestamp() AS now`},
		{"user.created", `INSERT INTO "user" AS t SELECT 'u' || $1, 'User ' || $2, $1 || '@example.com', now, now FROM clock_timestamp() AS now`},
		{"user.updated", `UPDATE "user" AS t SET email = $1 || '@example.com', "updatedAt" = clock_timestamp() WHERE id = (SELECT max(id) FROM "user" WHERE id <= 'u' || $2)`},
		{"user.updated", `UPDATE "user" AS t SET email = $1 || '@example.com', "updatedAt" = clock_timestamp() WHERE id = (SELECT min(id) FROM "user" WHERE id >= 'u' || $2)`},
		{"user.deleted", `DELETE FROM "user" AS t WHERE id = (SELECT max(id) FROM "user" WHERE id <= 'u' || $2) AND length($1) > 0`},
		{"organization.updated", `UPDATE organization AS t SET name = 'Firm ' || $1 WHERE id = (SELECT max(id) FROM organization WHERE id <= 'o' || $2)`},
		{"organization.created", `INSERT INTO organization AS t VALUES ('o' || $2 || '-' || $1, 'Firm ' || $1, 'firm-' || $1, clock_timestamp())`},
		{"organization.deleted", `DELETE FROM organization AS t WHERE id = (SELECT min(id) FROM organization WHERE id > 'o' || $2) AND length($1) > 0`},
		{"member.created", `INSERT INTO member AS t SELECT 'm' || $1, o.id, u.id, 'member', now() FROM organization AS o, "user" AS u WHERE u.id >= 'u' || $2
		AND NOT EXISTS (SELECT FROM member AS m WHERE m."organizationId" = o.id AND m."userId" = u.id) ORDER BY u.id, o.id LIMIT 1`},
		{"member.updated", `UPDATE member AS t SET role = 'role-' || $1 WHERE id = (SELECT max(id) FROM member WHERE id <= 'm' || $2)`},
		{"member.deleted", `DELETE FROM member AS t WHERE id = (SELECT max(id) FROM member WHERE id <= 'm' || $2) AND length($1) > 0`},
	}
}

func (l *tableLoad) run(ctx context.Context, b *bundle, random *rand.Rand) {
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for changes := tableChanges(); ctx.Err() == nil; <-pause.C {
		n := l.n.Add(1)
		change := changes[random.IntN(len(changes))]
		var row map[string]any
		var at time.Time
		// It fails while PostgreSQL is down, and where two writers meet: the tables have what came of it.
		err := l.app.QueryRow(ctx, change.sql+` RETURNING to_jsonb(t), clock_timestamp()`,
			fmt.Sprintf("%06d", n), fmt.Sprintf("%06d", random.Int64N(n))).Scan(&row, &at)
		if err != nil {
			continue
		}
		l.written.Add(1)
		if n%3 == 0 {
			l.push(ctx, b, provider.Sample{Type: change.event, ID: fmt.Sprintf("msg_%d", n), Object: row, At: at})
		}
	}
}

// push sends a change once, as good as that works: what is lost is pulled.
func (l *tableLoad) push(ctx context.Context, b *bundle, change provider.Sample) {
	header, body, err := betterauth.New().Sign(change, b.load.credentials[provider.BetterAuth],
		provider.Options{SignatureFormats: []string{betterauth.FormatStandardWebhooks}}, time.Now())
	if err != nil {
		panic(err) // the sample is right
	}
	url, _ := b.server.url.Load().(string)
	c := client.New(url, "")
	defer c.Close()
	if c.Deliver(ctx, provider.BetterAuth, b.load.projectID, header, body) == nil {
		l.pushed.Add(1)
	}
}

// queue is the table in which the triggers note what has changed.
func (b *bundle) queue(t *testing.T) (table string) {
	t.Helper()
	waittest.Until(t, func() bool {
		return b.project.QueryRow(t.Context(), `SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'authsync_changes_')`).Scan(&table) == nil
	})
	return pgx.Identifier{table, "changes"}.Sanitize()
}

// tableDifferences are the rows in which the mirror and the tables differ.
const tableDifferences = `
	WITH own (record, value) AS (
		SELECT 'user/' || id, email FROM "user"
		UNION ALL SELECT 'organization/' || id, name FROM organization
		UNION ALL SELECT 'member/' || "organizationId" || '/' || "userId", role FROM member
	), mirror (record, value) AS (
		SELECT 'user/' || id, email FROM capydb_auth.users WHERE deleted_at IS NULL
		UNION ALL SELECT 'organization/' || id, name FROM capydb_auth.organizations WHERE deleted_at IS NULL
		UNION ALL SELECT 'member/' || organization_id || '/' || user_id, role FROM capydb_auth.memberships WHERE deleted_at IS NULL
	)
	SELECT format('%s is %s, in the mirror %s', record, coalesce(own.value, 'missing'), coalesce(mirror.value, 'missing'))
	FROM own FULL JOIN mirror USING (record)
	WHERE own.value IS DISTINCT FROM mirror.value
	ORDER BY 1`

// doubledChanges are the changes that change nothing, what an event did twice, and what was created or deleted twice, which no
// statement above does to a user or an organization.
const doubledChanges = `
	SELECT format('%s %s: %s %s by %s changes nothing', record_type, record_id, kind, changed, event_id)
	FROM capydb_auth.record_changes WHERE before = after
	UNION ALL
	SELECT format('%s %s: changed %s times by %s', record_type, record_id, count(*), event_id)
	FROM capydb_auth.changes GROUP BY record_type, record_id, event_id HAVING count(*) > 1
	UNION ALL
	SELECT format('%s %s: %s %s times', record_type, record_id, kind, count(*))
	FROM capydb_auth.changes WHERE kind IN ('created', 'deleted') AND record_type <> 'membership'
	GROUP BY record_type, record_id, kind HAVING count(*) > 1
	UNION ALL
	SELECT format('%s: %s times in the ledger', event_id, count(*))
	FROM capydb_auth.processed_events GROUP BY event_id HAVING count(*) > 1`
