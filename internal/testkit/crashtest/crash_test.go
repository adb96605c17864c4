package crashtest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/seal"
)

const (
	rounds      = 24
	shortRounds = 6
	// healLimit is how long the last jobs may take after the last crash. A job whose process died
	// is taken over within seconds, after a pause if it outlived several. What fails at a sink
	// twice in a row waits for another 20 s, and holds back its user's; a busy machine takes its time.
	healLimit = 10 * time.Minute
)

// Every answered delivery has its effect exactly once, whatever was killed when.
func TestNothingAcknowledgedIsLostOrAppliedTwice(t *testing.T) {
	t.Parallel()
	seed := chooseSeed(t)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := t.Context()

	database := startDatabase(t)
	b := prepare(t, database)

	b.server.start(t)
	t.Cleanup(func() { b.server.kill(t) })
	all, some := newSink(t, 50), newSink(t, 5)
	b.follow(t, all)
	b.followSome(t, some)
	loadCtx, stopLoad := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		b.load.run(loadCtx)
	}()

	count := rounds
	if testing.Short() {
		count = shortRounds
	}
	for round := 1; round <= count; round++ {
		wait(t, time.Duration(random.IntN(500))*time.Millisecond)
		victim := "authsync"
		if random.IntN(3) == 0 {
			victim = "PostgreSQL"
			database.Kill()
			wait(t, time.Duration(random.IntN(100))*time.Millisecond)
			require.NoError(t, database.Restart(ctx), "seed %d, round %d", seed, round)
		} else {
			b.server.kill(t)
			b.server.start(t)
		}
		t.Logf("round %d: killed %s; %d events acknowledged so far", round, victim, b.load.count())
	}
	wait(t, 200*time.Millisecond) // some events after the last crash
	stopLoad()
	<-loaded

	what := fmt.Sprintf("seed %d, after %d rounds", seed, count)
	require.Empty(t, b.load.bad, what)
	require.Positive(t, b.load.refused.Load(), "%s: no crash was felt, so nothing was tested", what)
	b.requireHealed(t, what)
	b.requireExactlyOnce(t, what)
	b.requireFollowed(t, all, allChanges, what)
	b.requireFollowed(t, some, someChanges, what)
}

// chooseSeed takes -seed from the arguments behind -args, else a new one.
func chooseSeed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	for i, arg := range flag.Args() {
		if arg == "-seed" && i+1 < len(flag.Args()) {
			var err error
			seed, err = strconv.ParseUint(flag.Arg(i+1), 10, 64)
			require.NoError(t, err)
		}
	}
	t.Logf("seed %d", seed)
	return seed
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// bundle is an installation with one project that has all providers.
type bundle struct {
	server  *server
	store   *project.Store
	load    *load
	control *pgxpool.Pool
	project *pgxpool.Pool
}

// startDatabase starts the server that a test kills.
func startDatabase(t *testing.T) *localpg.Server {
	t.Helper()
	database, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true, TCP: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Stop(context.WithoutCancel(t.Context()))) })
	return database
}

// startTwo starts two servers on the same databases; the first is the bundle's.
func (b *bundle) startTwo(t *testing.T) []*server {
	t.Helper()
	servers := []*server{b.server, {env: b.server.env}}
	for _, s := range servers {
		s.start(t)
		t.Cleanup(func() { s.kill(t) })
	}
	return servers
}

func prepare(t *testing.T, database *localpg.Server) *bundle {
	t.Helper()
	ctx := t.Context()
	admin, err := pgx.Connect(ctx, database.URL("postgres"))
	require.NoError(t, err)
	for _, name := range []string{"control", "shop"} {
		_, err := admin.Exec(ctx, "CREATE DATABASE "+name)
		require.NoError(t, err)
	}
	require.NoError(t, admin.Close(ctx))
	_, err = schema.Up(ctx, database.URL("control"), schema.Control, schema.Options{})
	require.NoError(t, err)

	key := config.Secret(seal.NewKey())
	opened, err := app.OpenControl(ctx, config.Secret(database.URL("control")), key, 4, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p, err := opened.Store.CreateProject(ctx, "shop", database.URL("shop"), false)
	require.NoError(t, err)
	credentials := map[string]provider.Credentials{}
	for _, name := range provider.Names() {
		credentials[name] = provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_Y3Jhc2gtdGVzdC1zaWduaW5nLWtleQ=="}}
		given := map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"whsec_Y3Jhc2gtdGVzdC1zaWduaW5nLWtleQ=="`)}
		_, err := opened.Store.PutIntegration(ctx, p.ID, name, given, nil)
		require.NoError(t, err)
	}
	shop, err := pgdb.Open(ctx, database.URL("shop"), pgdb.Options{MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(func() {
		shop.Close()
		require.NoError(t, opened.Close(context.WithoutCancel(ctx)))
	})
	s := &server{env: map[string]string{
		"DATABASE_URL": database.URL("control"), "AUTHSYNC_ENCRYPTION_KEY": key.Reveal(),
		"AUTHSYNC_LISTEN": "127.0.0.1:0", "AUTHSYNC_LOG_LEVEL": "info", "AUTHSYNC_ALLOW_TARGETS": "127.0.0.1/32",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1/32",
	}}
	return &bundle{server: s, store: opened.Store, load: newLoad(s, p.ID.String(), credentials), control: opened.Pool, project: shop}
}
