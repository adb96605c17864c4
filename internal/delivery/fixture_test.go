package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// sink is a destination in memory, and its type.
type sink struct {
	traits destination.Capabilities
	deps   destination.Deps
	// answer says what becomes of messages; nil: all are delivered.
	answer func(ctx context.Context, messages []destination.Message) []destination.Result

	mu       sync.Mutex
	arrived  []destination.Message // what was delivered
	attempts int
}

func (s *sink) Name() string                            { return "webhook" }
func (s *sink) SecretNames() []string                   { return nil }
func (s *sink) NewSecret() (_, _ string, ok bool)       { return "", "", false }
func (s *sink) SendsSecretsTo(json.RawMessage) []string { return nil }
func (s *sink) Traits() destination.Capabilities        { return s.traits }
func (s *sink) option(c destination.Config) string      { return string(c.Options) }
func (s *sink) results(n int) []destination.Result      { return make([]destination.Result, n) }
func (s *sink) set(answer func(context.Context, []destination.Message) []destination.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *sink) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	if strings.Contains(s.option(c), "broken") {
		return nil, fault.New(fault.Invalid, "option broken is not allowed: remove it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deps = d
	return s, nil
}

func (s *sink) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	s.mu.Lock()
	answer := s.answer
	s.attempts += len(messages)
	s.mu.Unlock()
	results := s.results(len(messages))
	if answer != nil {
		results = answer(ctx, messages)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range results {
		if r.Outcome == destination.Delivered {
			s.arrived = append(s.arrived, messages[i])
		}
	}
	return results
}

func (s *sink) Preview(_ context.Context, m destination.Message) ([]destination.Request, error) {
	return []destination.Request{{Method: "POST", URL: "https://sink.example/" + m.ID, Body: m.User}}, nil
}

// got gives the ids of the messages that arrived, each once, in the order of their first arrival.
func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	ids := []string{}
	for _, m := range s.arrived {
		if !seen[m.ID] {
			seen[m.ID] = true
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (s *sink) messages() []destination.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]destination.Message{}, s.arrived...)
}

func (s *sink) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// always gives the same result for each message.
func always(r destination.Result) func(context.Context, []destination.Message) []destination.Result {
	return func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i := range results {
			results[i] = r
		}
		return results
	}
}

func failing() func(context.Context, []destination.Message) []destination.Result {
	return always(destination.Result{Outcome: destination.Retry, Status: 503, Reason: "it is down"})
}

// selection wants everything but what a test says.
type selection struct {
	condition *string
	b         *testBundle

	mu    sync.Mutex
	kills int
}

// kill is what an expression comes to that costs a worker each time.
func (s *selection) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.kills++
	s.b.kills++
	why := &jq.RunError{Detail: "condition took longer than 100ms", Halt: s.kills == jq.MaxKills}
	if why.Halt {
		s.kills = 0
	}
	return destination.ExpressionError(why, why.Detail)
}

func (s *selection) Wants(m destination.Message) (bool, string, error) {
	switch {
	case s.condition == nil:
		return true, "it wants every change", nil
	case *s.condition == "slow":
		s.b.setClock(s.b.now().Add(time.Second))
		return true, "the condition says so after a second", nil
	case strings.HasPrefix(*s.condition, "bomb "): // for some users
		if strings.HasPrefix(m.UserID, strings.TrimPrefix(*s.condition, "bomb ")) {
			return false, "", s.kill()
		}
		return true, "the condition says so", nil
	case *s.condition == "worker": // for which a worker is needed
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		if s.b.noWorker {
			why := &jq.UnavailableError{Err: errors.New("start a worker: resource temporarily unavailable")}
			return false, "", destination.ExpressionError(why, why.Error())
		}
		return true, "the condition says so", nil
	case *s.condition == "error":
		return false, "", errors.New("cannot iterate over null")
	default:
		return strings.Contains(string(m.User), *s.condition), "the condition says so", nil
	}
}

type testBundle struct {
	logged bool // logTables

	control, project *pgxpool.Pool
	projectID        uuid.UUID
	mirrors          *mirror.Mirrors
	outbox           *delivery.Outbox
	types            map[uuid.UUID]destination.Type // by destination
	events           int
	slice, cut       time.Duration
	maxInFlight      int // bytes; 0: as ever

	mu    sync.Mutex
	clock time.Time     // zero: the real one
	pause time.Duration // the longest pause that is kept
	feed  func() error  // asked before the project's database is read; nil: it is there
	loads []int         // how many messages each call has loaded
	kills int           // how many workers conditions have cost
	// noWorker: none can be had for a condition.
	noWorker bool
}

// now is the clock of the outbox.
func (b *testBundle) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clock.IsZero() {
		return time.Now()
	}
	return b.clock
}

func (b *testBundle) setClock(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = at
}

func (b *testBundle) setPause(longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = longest
}

func (b *testBundle) setNoWorker(none bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noWorker = none
}

func (b *testBundle) setFeed(feed func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feed = feed
}

// feed is the project's database, which a test may take away.
type feed struct {
	*mirror.Mirrors

	b *testBundle
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

// loaded counts calls that loaded messages, and these.
func (b *testBundle) loaded() (calls, messages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.loads {
		messages += n
	}
	return len(b.loads), messages
}

// setup makes a project with a mirror; no worker runs yet.
func setup(tb testing.TB) *testBundle {
	tb.Helper()
	b := &testBundle{
		control: pgtest.Control(tb), project: pgtest.Project(tb), projectID: uuid.New(),
		types: make(map[uuid.UUID]destination.Type), pause: 20 * time.Millisecond, slice: 300 * time.Millisecond,
	}
	_, err := b.control.Exec(tb.Context(),
		`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, b.projectID)
	require.NoError(tb, err)
	url := pgtest.URL(tb, b.project)
	databases := tenantdb.New(tenantdb.Config{
		URL:         func(context.Context, uuid.UUID) (string, error) { return url, nil },
		LockTimeout: 4 * time.Second,
	})
	tb.Cleanup(func() { require.NoError(tb, databases.Close(context.Background())) })
	b.mirrors = mirror.New(mirror.Config{Databases: databases})
	b.outbox = b.newOutbox(tb)
	return b
}

func (b *testBundle) newOutbox(tb testing.TB) *delivery.Outbox {
	tb.Helper()
	o, err := delivery.New(delivery.Config{
		Pool: b.control, Feed: feed{b.mirrors, b}, Slice: b.slice, MaxInFlightBytes: b.maxInFlight, Cut: b.cut,
		Open: func(ctx context.Context, id uuid.UUID) (delivery.Opened, error) {
			opened := delivery.Opened{Type: id.String(), Config: destination.Config{ID: id}}
			return opened, b.control.QueryRow(ctx, `SELECT options FROM authsync.destinations WHERE id = $1`, id).Scan(&opened.Config.Options)
		},
		Type: func(name string) (destination.Type, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.types[uuid.MustParse(name)], nil
		},
		NewFilter: func(_, _ []string, condition *string) (delivery.Filter, error) {
			return &selection{condition: condition, b: b}, nil
		},
		Now: b.now,
		Retry: func(pause time.Duration) time.Duration {
			b.mu.Lock()
			defer b.mu.Unlock()
			return min(pause, b.pause)
		},
	})
	require.NoError(tb, err)
	return o
}

// work starts a worker, which ends with the test or by stop.
func (b *testBundle) work(tb testing.TB) (stop func()) {
	tb.Helper()
	return b.workWith(tb, b.newOutbox(tb))
}

func (b *testBundle) workWith(tb testing.TB, o *delivery.Outbox) (stop func()) {
	tb.Helper()
	client, err := jobs.New(jobs.Config{
		Pool: b.control, Workers: []jobs.Register{o.Register}, Log: slog.New(slog.DiscardHandler), FetchPoll: 5 * time.Millisecond,
		Hooks: []rivertype.Hook{o.Hook()},
	})
	require.NoError(tb, err)
	require.NoError(tb, client.Start(context.Background()))
	stop = sync.OnceFunc(func() { require.NoError(tb, client.StopAndCancel(context.Background())) })
	tb.Cleanup(stop)
	return stop
}

// add makes a destination that is told of changes from now on.
func (b *testBundle) add(tb testing.TB, name string, s *sink) uuid.UUID {
	tb.Helper()
	return b.addFrom(tb, name, s, nil, delivery.From{})
}

func (b *testBundle) addFrom(tb testing.TB, name string, s *sink, condition *string, from delivery.From) uuid.UUID {
	tb.Helper()
	s.traits.Batch, s.traits.Parallel = max(s.traits.Batch, 1), max(s.traits.Parallel, 1)
	return b.addWith(tb, name, s, condition, from)
}

func (b *testBundle) addType(tb testing.TB, name string, typ destination.Type, from delivery.From) uuid.UUID {
	tb.Helper()
	return b.addWith(tb, name, typ, nil, from)
}

func (b *testBundle) addWith(tb testing.TB, name string, typ destination.Type, condition *string, from delivery.From) uuid.UUID {
	tb.Helper()
	id := uuid.New()
	b.mu.Lock()
	b.types[id] = typ
	b.mu.Unlock()
	require.NoError(tb, pgdb.InTx(tb.Context(), b.control, func(tx pgx.Tx) error {
		_, err := tx.Exec(tb.Context(), `
			INSERT INTO authsync.destinations (id, project_id, name, type, condition, secrets_sealed) VALUES ($1, $2, $3, 'webhook', $4, '')`,
			id, b.projectID, name, condition)
		if err != nil {
			return err
		}
		cursor, err := b.outbox.Cursor(tb.Context(), b.projectID, from)
		require.NoError(tb, err)
		return b.outbox.Start(tb.Context(), tx, id, b.projectID, cursor)
	}))
	return id
}

// change changes users, one event each, and wakes the relay.
func (b *testBundle) change(tb testing.TB, users ...string) {
	tb.Helper()
	b.apply(tb, users...)
	b.wake(tb)
}

func (b *testBundle) wake(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, delivery.RequestRelay(tb.Context(), b.control, b.projectID))
}

func (b *testBundle) apply(tb testing.TB, users ...string) {
	tb.Helper()
	events := make([]mirror.Event, len(users))
	for i, user := range users {
		b.events++
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(b.events) * time.Second)
		email := fmt.Sprintf("%s-%d@example.com", user, b.events)
		events[i] = mirror.Event{
			Event: provider.Event{
				ID: fmt.Sprint("evt_", b.events), Type: "user.updated", UserID: user, At: at, SentAt: at,
				Fields: provider.Fields{record.DeletedAt: nil, record.Email: &email}, Raw: json.RawMessage(fmt.Sprintf(`{"n": %d}`, b.events)),
			},
			Provider: provider.Auth0, InboxID: int64(b.events), ReceivedAt: at,
		}
	}
	for len(events) > 0 {
		n := min(len(events), 200)
		results, err := b.mirrors.Apply(tb.Context(), b.projectID, events[:n])
		require.NoError(tb, err)
		for _, r := range results {
			require.NoError(tb, r.Err)
		}
		events = events[n:]
	}
}

func (b *testBundle) one(tb testing.TB, query string, args ...any) string {
	tb.Helper()
	var text *string
	err := b.control.QueryRow(tb.Context(), query, args...).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && text == nil {
		return ""
	}
	require.NoError(tb, err)
	return *text
}

// of shows columns of the one delivery of a user.
func (b *testBundle) of(tb testing.TB, user, columns string) string {
	tb.Helper()
	return b.one(tb, `SELECT concat_ws(' ', `+columns+`) FROM authsync.deliveries WHERE user_id = $1`, user)
}

// states counts the deliveries of a destination by state, such as "blocked 1, delivered 3".
func (b *testBundle) states(tb testing.TB, id uuid.UUID) string {
	tb.Helper()
	return b.one(tb, `
		SELECT string_agg(state || ' ' || n, ', ' ORDER BY state)
		FROM (SELECT state, count(*) AS n FROM authsync.deliveries WHERE destination_id = $1 GROUP BY state) AS s`, id)
}

// eventually waits until the deliveries of a destination are in these states.
func (b *testBundle) eventually(tb testing.TB, id uuid.UUID, want string) {
	tb.Helper()
	b.until(tb, want, func() string { return b.states(tb, id) })
}

func (b *testBundle) until(tb testing.TB, want string, is func() string) {
	tb.Helper()
	var got string
	deadline := time.Now().Add(waittest.Bound)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for got = is(); got != want; got = is() {
		if time.Now().After(deadline) {
			b.logTables(tb)
			require.Equal(tb, want, got)
		}
		<-ticker.C
	}
}

// logTables shows what there is when a test fails: the first time, for a property fails
// again and again while it is made smaller.
func (b *testBundle) logTables(tb testing.TB) {
	tb.Helper()
	if b.logged {
		return
	}
	b.logged = true
	for _, table := range []string{"job_requests", "destination_progress", "destination_health"} {
		tb.Log(table, b.one(tb, `SELECT string_agg(to_jsonb(t)::text, E'\n') FROM authsync.`+table+` AS t`))
	}
	tb.Log(b.one(tb, `
		SELECT string_agg(concat_ws(' ', id, kind, queue, state, attempt, scheduled_at, errors, metadata), E'\n' ORDER BY id)
		FROM (SELECT * FROM authsync.river_job ORDER BY id DESC LIMIT 20) AS j`))
	tb.Log(b.one(tb, `SELECT string_agg(to_jsonb(d)::text, E'\n') FROM (SELECT * FROM authsync.deliveries ORDER BY id LIMIT 20) AS d`))
}
