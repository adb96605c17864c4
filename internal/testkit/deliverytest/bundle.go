// Package deliverytest is the kit of tests of the road out: a project with a mirror and destinations in memory, and the
// packages of internal/delivery composed as in a server.
package deliverytest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Bundle is a project with destinations.
type Bundle struct {
	Control, Project *pgxpool.Pool
	ProjectID        uuid.UUID
	Mirrors          *mirror.Mirrors
	Admin            *admin.Admin
	// Pause is the longest pause that is kept; see SetPause.
	Pause time.Duration
	// Slice, Cut and MaxInFlightBytes are those of the workers started from now on; 0: as in a server.
	Slice, Cut       time.Duration
	MaxInFlightBytes int

	events int
	logged bool // LogTables

	mu    sync.Mutex
	types map[uuid.UUID]destination.Type // by destination
	clock time.Time                      // zero: the real one
	feed  func() error                   // asked before the project's database is read; nil: it is there
	loads []int                          // how many messages each call has loaded
	kills int                            // how many workers conditions have cost
	// noWorker: none can be had for a condition.
	noWorker bool
}

// Now is the clock of the deliveries.
func (b *Bundle) Now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clock.IsZero() {
		return time.Now()
	}
	return b.clock
}

// SetClock sets the clock of the deliveries; the zero time is the real one.
func (b *Bundle) SetClock(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = at
}

// SetPause sets Pause while workers run.
func (b *Bundle) SetPause(longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Pause = longest
}

// SetNoWorker says whether a worker can be had for a condition.
func (b *Bundle) SetNoWorker(none bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noWorker = none
}

// SetFeed sets what is asked before the project's database is read; nil: it is there.
func (b *Bundle) SetFeed(feed func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feed = feed
}

// feed is the project's database, which a test may take away.
type feed struct {
	*mirror.Mirrors

	b *Bundle
}

func (f feed) ReadChanges(ctx context.Context, id uuid.UUID, after int64, limit int) ([]mirror.FeedChange, error) {
	f.b.mu.Lock()
	away := f.b.feed
	f.b.mu.Unlock()
	if away != nil {
		if err := away(); err != nil {
			return nil, err
		}
	}
	return f.Mirrors.ReadChanges(ctx, id, after, limit)
}

func (f feed) ChangesByID(ctx context.Context, id uuid.UUID, ids []int64) ([]mirror.FeedChange, error) {
	changes, err := f.Mirrors.ChangesByID(ctx, id, ids)
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	f.b.loads = append(f.b.loads, len(changes))
	return changes, err
}

// Loaded counts calls that loaded messages, and these.
func (b *Bundle) Loaded() (calls, messages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.loads {
		messages += n
	}
	return len(b.loads), messages
}

// New makes a project with a mirror; no worker runs yet.
func New(tb testing.TB) *Bundle {
	tb.Helper()
	b := &Bundle{
		Control: pgtest.Control(tb), Project: pgtest.Project(tb), ProjectID: uuid.New(),
		types: make(map[uuid.UUID]destination.Type), Pause: 20 * time.Millisecond, Slice: 300 * time.Millisecond,
	}
	_, err := b.Control.Exec(tb.Context(),
		`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, b.ProjectID)
	require.NoError(tb, err)
	url := pgtest.URL(tb, b.Project)
	databases := tenantdb.New(tenantdb.Config{
		URL:         func(context.Context, uuid.UUID) (string, error) { return url, nil },
		LockTimeout: 4 * time.Second,
	})
	tb.Cleanup(func() { require.NoError(tb, databases.Close(context.Background())) })
	b.Mirrors = mirror.New(mirror.Config{Databases: databases})
	b.Admin = b.NewDeliveries(tb).Admin
	return b
}

// NewDeliveries composes the road out for this project.
func (b *Bundle) NewDeliveries(tb testing.TB) *Deliveries {
	tb.Helper()
	o, err := NewDeliveries(Config{
		Pool: b.Control, Feed: feed{b.Mirrors, b}, Slice: b.Slice, MaxInFlightBytes: b.MaxInFlightBytes, Cut: b.Cut,
		Open: func(ctx context.Context, id uuid.UUID) (destcache.Opened, error) {
			opened := destcache.Opened{Type: id.String(), Config: destination.Config{ID: id}}
			return opened, b.Control.QueryRow(ctx, `SELECT options FROM authsync.destinations WHERE id = $1`, id).Scan(&opened.Config.Options)
		},
		Type: func(name string) (destination.Type, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.types[uuid.MustParse(name)], nil
		},
		NewFilter: func(eventTypes, _ []string, text *string) (subscription.Filter, error) {
			return &condition{eventTypes: eventTypes, text: text, b: b}, nil
		},
		Now: b.Now,
		Pause: func(pause time.Duration) time.Duration {
			b.mu.Lock()
			defer b.mu.Unlock()
			return min(pause, b.Pause)
		},
	})
	require.NoError(tb, err)
	return o
}

// SetType changes the type of a destination while workers run.
func (b *Bundle) SetType(id uuid.UUID, typ destination.Type) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.types[id] = typ
}

// Killed is how many workers conditions have cost.
func (b *Bundle) Killed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kills
}

// Work starts a worker, which ends with the test or by stop.
func (b *Bundle) Work(tb testing.TB) (stop func()) {
	tb.Helper()
	return b.WorkWith(tb, b.NewDeliveries(tb))
}

// WorkWith is Work with deliveries of the test.
func (b *Bundle) WorkWith(tb testing.TB, o *Deliveries) (stop func()) {
	tb.Helper()
	client, err := jobs.New(jobs.Config{
		Pool: b.Control, Workers: []jobs.Register{o.Register}, Log: slog.New(slog.DiscardHandler), FetchPoll: 5 * time.Millisecond,
		Hooks: []rivertype.Hook{o.Hook()},
	})
	require.NoError(tb, err)
	require.NoError(tb, client.Start(context.Background()))
	stop = sync.OnceFunc(func() { require.NoError(tb, client.StopAndCancel(context.Background())) })
	tb.Cleanup(stop)
	return stop
}

// Add makes a destination that is told of changes from now on.
func (b *Bundle) Add(tb testing.TB, name string, s *Sink) uuid.UUID {
	tb.Helper()
	return b.AddFrom(tb, name, s, nil, admin.From{})
}

// AddFrom is Add with a condition and a beginning.
func (b *Bundle) AddFrom(tb testing.TB, name string, s *Sink, condition *string, from admin.From) uuid.UUID {
	tb.Helper()
	s.Can.Batch, s.Can.Parallel = max(s.Can.Batch, 1), max(s.Can.Parallel, 1)
	return b.AddWith(tb, name, s, condition, from)
}

// AddType is Add with another type.
func (b *Bundle) AddType(tb testing.TB, name string, typ destination.Type, from admin.From) uuid.UUID {
	tb.Helper()
	return b.AddWith(tb, name, typ, nil, from)
}

// AddWith makes a destination.
func (b *Bundle) AddWith(tb testing.TB, name string, typ destination.Type, condition *string, from admin.From) uuid.UUID {
	tb.Helper()
	id := uuid.New()
	b.mu.Lock()
	b.types[id] = typ
	b.mu.Unlock()
	require.NoError(tb, pgdb.InTx(tb.Context(), b.Control, func(tx pgx.Tx) error {
		_, err := tx.Exec(tb.Context(), `
			INSERT INTO authsync.destinations (id, project_id, name, type, condition, secrets_sealed) VALUES ($1, $2, $3, 'webhook', $4, '')`,
			id, b.ProjectID, name, condition)
		if err != nil {
			return err
		}
		cursor, err := b.Admin.Cursor(tb.Context(), b.ProjectID, from)
		require.NoError(tb, err)
		return b.Admin.Start(tb.Context(), tx, id, b.ProjectID, cursor)
	}))
	return id
}

// One returns the text of one row of the control database; empty: none, or null.
func (b *Bundle) One(tb testing.TB, query string, args ...any) string {
	tb.Helper()
	var text *string
	err := b.Control.QueryRow(tb.Context(), query, args...).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && text == nil {
		return ""
	}
	require.NoError(tb, err)
	return *text
}

// Of shows columns of the one delivery of a user.
func (b *Bundle) Of(tb testing.TB, user, columns string) string {
	tb.Helper()
	return b.One(tb, `SELECT concat_ws(' ', `+columns+`) FROM authsync.deliveries WHERE user_id = $1`, user)
}

// States counts the deliveries of a destination by state, such as "blocked 1, delivered 3".
func (b *Bundle) States(tb testing.TB, id uuid.UUID) string {
	tb.Helper()
	return b.One(tb, `
		SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)
		FROM (SELECT state, count(*) AS n FROM authsync.deliveries WHERE destination_id = $1 GROUP BY state) AS s`, id)
}

// Eventually waits until the deliveries of a destination are in these states.
func (b *Bundle) Eventually(tb testing.TB, id uuid.UUID, want string) {
	tb.Helper()
	b.Until(tb, want, func() string { return b.States(tb, id) })
}

// Until waits until something is as wanted.
func (b *Bundle) Until(tb testing.TB, want string, is func() string) {
	tb.Helper()
	var got string
	deadline := time.Now().Add(waittest.Bound)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for got = is(); got != want; got = is() {
		if time.Now().After(deadline) {
			b.LogTables(tb)
			require.Equal(tb, want, got)
		}
		<-ticker.C
	}
}

// LogTables shows what there is when a test fails: the first time, for a property fails
// again and again while it is made smaller.
func (b *Bundle) LogTables(tb testing.TB) {
	tb.Helper()
	if b.logged {
		return
	}
	b.logged = true
	for _, table := range []string{"job_requests", "destination_progress", "destination_health"} {
		tb.Log(table, b.One(tb, `SELECT string_agg(to_jsonb(t)::text, E'\n') FROM authsync.`+table+` AS t`))
	}
	tb.Log(b.One(tb, `
		SELECT string_agg(concat_ws(' ', id, kind, queue, state, attempt, scheduled_at, errors, metadata), E'\n' ORDER BY id)
		FROM (SELECT * FROM authsync.river_job ORDER BY id DESC LIMIT 20) AS j`))
	tb.Log(b.One(tb, `SELECT string_agg(to_jsonb(d)::text, E'\n') FROM (SELECT * FROM authsync.deliveries ORDER BY id LIMIT 20) AS d`))
}

// StateOf shows a destination's state, who set it and why.
func (b *Bundle) StateOf(tb testing.TB, id uuid.UUID) string {
	tb.Helper()
	return b.One(tb, `SELECT concat_ws(' ', state, state_by, state_reason) FROM authsync.destinations WHERE id = $1`, id)
}

// Kick has jobs run that wait for a time of the real clock, where the test has another.
func (b *Bundle) Kick(tb testing.TB) {
	tb.Helper()
	jobstest.Retry(tb, b.Control, jobs.Deliver, delivery.RetryArgs{}.Kind())
}
