package measure

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/ingest/usage"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
)

// referenceConns is the pool of the reference, found to be the best on two
// cores: more make PostgreSQL slower, fewer make requests wait.
const referenceConns = 32

// receiving compares the receiver with a handler that inserts by itself.
func (e *environment) receiving(ctx context.Context, w io.Writer, c Config) error {
	reference, err := e.newReference(ctx)
	if err != nil {
		return err
	}
	defer reference.pool.Close()
	ours, err := e.newReceiver(ctx)
	if err != nil {
		return err
	}
	defer ours.close(ctx)

	fmt.Fprintf(w, "\nReceiving: deliveries accepted (204 after commit) a second, time to the answer; median of %d rounds of %s\n", c.Rounds, c.Duration)
	rows := [][]string{{"connections", "reference/s", "p50", "p99", "cpu each", "authsync/s", "p50", "p99", "cpu each", "ratio"}}
	for _, connections := range c.Connections {
		var theirs, mine []load
		for range c.Rounds {
			l, err := e.round(ctx, reference, plan{connections: connections, duration: c.Duration})
			if err != nil {
				return fmt.Errorf("reference: %w", err)
			}
			theirs = append(theirs, l)
			if l, err = e.round(ctx, ours.handler, plan{connections: connections, duration: c.Duration}); err != nil {
				return fmt.Errorf("authsync: %w", err)
			}
			mine = append(mine, l)
		}
		a, b := median(theirs), median(mine)
		rows = append(rows, []string{
			strconv.Itoa(connections),
			fmt.Sprintf("%.0f", a.rate()), short(a.percentile(0.5)), short(a.percentile(0.99)), a.cpuEach(),
			fmt.Sprintf("%.0f", b.rate()), short(b.percentile(0.5)), short(b.percentile(0.99)), b.cpuEach(),
			fmt.Sprintf("%.2f", b.rate()/a.rate()),
		})
	}
	table(w, rows)
	return nil
}

// cpuEach is the work that a delivery is, with its share of the load generator's.
func (l *load) cpuEach() string {
	return fmt.Sprintf("%d us", l.cpu.Microseconds()/int64(max(l.accepted, 1)))
}

func median(loads []load) load {
	slices.SortFunc(loads, func(a, b load) int { return int(a.rate() - b.rate()) })
	return loads[len(loads)/2]
}

func short(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// round serves a handler, warms it up and measures it on empty tables.
func (e *environment) round(ctx context.Context, handler http.Handler, p plan) (load, error) {
	address, stop, err := serve(ctx, handler)
	if err != nil {
		return load{}, err
	}
	defer stop()
	t, err := e.newTemplate(e.path())
	if err != nil {
		return load{}, err
	}
	if _, err := generate(ctx, address, t, plan{connections: p.connections, duration: p.duration / 6}); err != nil {
		return load{}, err
	}
	if err := e.empty(ctx); err != nil {
		return load{}, err
	}
	before := e.cpuTime()
	l, err := generate(ctx, address, t, p)
	l.cpu = e.cpuTime() - before
	return l, err
}

// serve lets a receiver answer, set up as in the server of authsync.
func serve(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	routes := mux.NewRouter()
	routes.MatcherFunc(receiver.Match).Handler(handler)
	return listen(ctx, problem.WithRequestID(routes))
}

// listen answers on a free port of the loopback interface, with the timeouts of authsync's server.
func listen(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 90 * time.Second, IdleTimeout: time.Minute,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends by Close
	}()
	return listener.Addr().String(), func() { _ = server.Close(); <-ended }, nil
}

// reference is what one would write first, and write well: verify, insert
// through a pool, answer. It makes no job, so it does less than authsync.
type reference struct {
	*environment

	pool *pgxpool.Pool
}

const referenceTable = `
CREATE TABLE bench_deliveries (
    id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id  uuid        NOT NULL,
    provider    text        NOT NULL,
    message_id text,
    received_at timestamptz NOT NULL,
    headers     jsonb       NOT NULL,
    body        bytea       NOT NULL
)`

func (e *environment) newReference(ctx context.Context) (*reference, error) {
	pool, err := pgdb.Open(ctx, e.server.URL(controlDatabase), pgdb.Options{MaxConns: referenceConns, MinConns: referenceConns})
	if err != nil {
		return nil, err
	}
	return &reference{environment: e, pool: pool}, nil
}

// ServeHTTP stores a delivery by one statement.
func (r *reference) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	id, err := uuid.Parse(mux.Vars(q)["projectID"])
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	now := time.Now()
	proof, err := r.endpoint.Verifier.Verify(q.Header, body, now)
	if err != nil || r.endpoint.Verifier.ValidBody(body) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	headers := map[string]string{"Content-Type": q.Header.Get("Content-Type"), "User-Agent": q.Header.Get("User-Agent")}
	_, err = r.pool.Exec(q.Context(), `INSERT INTO bench_deliveries (project_id, provider, message_id, received_at, headers, body)
		VALUES ($1, $2, $3, $4, $5, $6)`, id, "auth0", proof.MessageID, now, headers, body)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// ownReceiver is authsync's receiver with its inbox.
type ownReceiver struct {
	handler http.Handler
	inbox   *inbox.Inbox
	pool    *pgxpool.Pool
	// stopCounting ends the counter of messages once it has written what it counted.
	stopCounting func()
}

func (e *environment) newReceiver(ctx context.Context) (*ownReceiver, error) {
	pool, err := pgdb.Open(ctx, e.server.URL(controlDatabase), pgdb.Options{MaxConns: inboxConns})
	if err != nil {
		return nil, err
	}
	in := inbox.New(pool, e.jobs, inbox.Config{Log: e.log}) //nolint:contextcheck // it outlives the call
	counter := usage.New(pool, e.log, 0)
	counting, stop := context.WithCancel(context.WithoutCancel(ctx))
	counted := make(chan struct{})
	go func() { defer close(counted); counter.Run(counting) }()
	return &ownReceiver{
		handler: receiver.New(receiver.Config{Directory: e, Inbox: in, Usage: counter, Log: slog.New(slog.DiscardHandler)}),
		inbox:   in, pool: pool, stopCounting: func() { stop(); <-counted },
	}, nil
}

func (o *ownReceiver) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = o.inbox.Close(ctx) // nothing waits any more
	o.stopCounting()
	o.pool.Close()
}
