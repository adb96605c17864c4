package syncrun_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// TestEveryProvider backfills from the fake of each provider by what is stored
// as its credentials, as the server does.
func TestEveryProvider(t *testing.T) {
	t.Parallel()
	const users = 1234 // more than Auth0 lists: an export
	type setting struct {
		credentials provider.Credentials
		options     provider.Options
	}
	cases := map[string]struct {
		provider string
		start    func(t *testing.T, b *testBundle, clock *userapitest.Clock) setting
	}{
		"Clerk": {provider.Clerk, func(t *testing.T, _ *testBundle, clock *userapitest.Clock) setting {
			t.Helper()
			url := userapitest.Start(t, demoprovider.NewClerk(demoprovider.NewAccount(users), clock.Now))
			return setting{provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: url}}
		}},
		"Auth0": {provider.Auth0, func(t *testing.T, _ *testBundle, clock *userapitest.Clock) setting {
			t.Helper()
			fake := demoprovider.NewAuth0(demoprovider.NewAccount(users), clock.Now)
			fake.Polls = 2
			return setting{
				provider.Credentials{Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret},
				provider.Options{BaseURL: userapitest.Start(t, fake)},
			}
		}},
		"BetterAuthByItsAdminAPI": {provider.BetterAuth, func(t *testing.T, _ *testBundle, clock *userapitest.Clock) setting {
			t.Helper()
			url := userapitest.Start(t, demoprovider.NewBetterAuth(demoprovider.NewAccount(users), clock.Now))
			return setting{provider.Credentials{SessionToken: demoprovider.BetterAuthToken}, provider.Options{BaseURL: url}}
		}},
		"BetterAuthByItsTables": {provider.BetterAuth, func(t *testing.T, b *testBundle, _ *userapitest.Clock) setting {
			t.Helper()
			_, err := b.project.Exec(t.Context(), `
				CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, email text, "updatedAt" timestamptz);
				CREATE TABLE session (id text PRIMARY KEY, "userId" text, "createdAt" timestamptz);
				INSERT INTO "user" SELECT 'u' || n, 'Emmy Noether', n || '@example.com', '2026-01-02 03:04:05' FROM generate_series(1, 1234) AS n;
				INSERT INTO session VALUES ('s', 'u7', '2026-03-09 10:00Z')`)
			require.NoError(t, err)
			return setting{options: provider.Options{Source: &provider.UserTables{}}}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, 0)
			clock := userapitest.NewClock()
			stored := c.start(t, b, clock)
			b.integrate(t, c.provider, stored.credentials, stored.options, clock)
			ends := func(kind string) (run syncrun.Run) {
				_, err := b.store.Start(t.Context(), b.projectID, c.provider, syncrun.Order{Kind: kind})
				require.NoError(t, err)
				waittest.Until(t, func() bool {
					if c.provider == provider.Auth0 {
						clock.Advance(time.Second)
					}
					run, err = b.store.Latest(t.Context(), b.projectID, c.provider, kind)
					require.NoError(t, err)
					return run.Finished()
				})
				require.Equal(t, syncrun.Done, run.State, "%+v", run)
				return run
			}
			run := ends(provider.KindBackfill)
			require.Equal(t, []int64{users, users, 0}, []int64{run.Read, run.Applied, run.Failed})
			require.Equal(t, int64(users), *run.Total)
			require.Equal(t, "1234 1234 1234 0", b.mirrored(t))
			require.Equal(t, "1234 1234 1", one(t, b.project, `
				SELECT concat_ws(' ', count(updated_at), count(raw), count(DISTINCT provider)) FROM capydb_auth.users`))
			if name == "BetterAuthByItsTables" {
				require.Equal(t, "u7 2026-03-09", one(t, b.project, `
					SELECT id || ' ' || (last_sign_in_at AT TIME ZONE 'UTC')::date FROM capydb_auth.users WHERE last_sign_in_at IS NOT NULL`))
			}

			run = ends(provider.KindReconcile)
			require.Zero(t, run.Drift.Found(), "%+v", run.Drift)
			_, err := b.project.Exec(t.Context(), `
				WITH chosen AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM capydb_auth.users)
				UPDATE capydb_auth.users AS u SET email = 'drifted@example.com' FROM chosen WHERE chosen.id = u.id AND chosen.n <= 3`)
			require.NoError(t, err)
			run = ends(provider.KindReconcile)
			require.Equal(t, []int64{3, 3}, []int64{run.Drift.Differing, run.Drift.Repaired}, "%+v", run.Drift)
			require.Equal(t, map[string]int64{"email": 3}, run.Drift.Columns)
			require.Equal(t, "0", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE email = 'drifted@example.com'`))
		})
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	var stored provider.Credentials
	var storedErr error
	accounts := &source.Integrations{
		Credentials: func(context.Context, uuid.UUID, string) (provider.Credentials, provider.Options, error) {
			return stored, provider.Options{}, storedErr
		},
		Deps:      func(context.Context, uuid.UUID) (userapi.Deps, error) { return userapi.Deps{}, nil },
		Providers: func(context.Context, uuid.UUID) ([]string, error) { return nil, nil },
	}
	for name, says := range map[string]string{
		provider.Clerk: "secret_key", provider.Auth0: "client_secret", provider.BetterAuth: "session_token", "okta": "no provider",
	} {
		_, err := accounts.Open(t.Context(), uuid.New(), name)
		require.True(t, fault.Is(err, fault.Unsupported), "%s: %v", name, err)
		require.ErrorContains(t, err, says)
	}
	stored = provider.Credentials{SecretKey: "sk_live_one"}
	first, err := accounts.Open(t.Context(), uuid.New(), provider.Clerk)
	require.NoError(t, err)
	again, err := accounts.Open(t.Context(), uuid.New(), provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, first.Digest, again.Digest)
	stored.SecretKey = "sk_live_two"
	other, err := accounts.Open(t.Context(), uuid.New(), provider.Clerk)
	require.NoError(t, err)
	require.NotEqual(t, first.Digest, other.Digest)
	require.NotContains(t, first.Digest, "sk_")
	storedErr = project.ErrNoIntegration
	_, err = accounts.Open(t.Context(), uuid.New(), provider.Clerk)
	require.ErrorIs(t, err, project.ErrNoIntegration)
}
