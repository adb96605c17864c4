package refresh_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// fake is an account of a provider whose users have ids by number.
type fake struct {
	name    string
	account *demoprovider.Account
	server  *demoprovider.Server
	id      func(int) string
}

// fakes makes, for each provider, an account with ten users, and stores its credentials.
func fakes() map[string]func(t *testing.T, b *testBundle) fake {
	return map[string]func(t *testing.T, b *testBundle) fake{
		"Auth0": func(t *testing.T, b *testBundle) fake {
			t.Helper()
			server := b.auth0(t, 10)
			return fake{provider.Auth0, server.Account, &server.Server, demoprovider.Auth0ID}
		},
		"Clerk": func(t *testing.T, b *testBundle) fake {
			t.Helper()
			server := b.clerk(t, 10)
			return fake{provider.Clerk, server.Account, &server.Server, demoprovider.ClerkID}
		},
		"BetterAuth": func(t *testing.T, b *testBundle) fake {
			t.Helper()
			server := demoprovider.NewBetterAuth(demoprovider.NewAccount(10), b.clock.Now)
			b.store(provider.BetterAuth, &stored{
				provider.Credentials{SessionToken: demoprovider.BetterAuthToken}, provider.Options{BaseURL: userapitest.Start(t, server)},
			})
			return fake{provider.BetterAuth, server.Account, &server.Server, demoprovider.BetterAuthID}
		},
	}
}

func user(id string) record.Ref { return record.Ref{Type: record.User, ID: id} }

func TestRefreshBringsTheMirrorToWhatTheProviderSays(t *testing.T) {
	t.Parallel()
	for name, start := range fakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := start(t, b)
			id := f.id(3)
			requireDone := func(found, done string, columns ...string) {
				t.Helper()
				got, err := b.one.Refresh(t.Context(), b.projectID, user(id), "")
				require.NoError(t, err)
				slices.Sort(got.Columns)
				require.Equal(t, []any{id, f.name, found, done}, []any{got.Record.ID, got.Provider, got.Found, got.Done})
				require.Subset(t, got.Columns, columns)
				require.Nil(t, got.Note)
				if done != refresh.Nothing {
					require.Equal(t, got.EventID, one(t, b.project, `
						SELECT event_id FROM capydb_auth.user_changes ORDER BY id DESC LIMIT 1`), "the feed says who wrote it")
				}
			}
			row := func() string {
				return one(t, b.project, `SELECT concat_ws(' ', email, deleted_at IS NULL) FROM capydb_auth.users WHERE id = $1`, id)
			}
			requireDone(mirror.Missing, refresh.Created)
			whole := row()
			require.Contains(t, whole, "@")
			requireDone(mirror.Equal, refresh.Nothing)

			b.exec(t, `UPDATE capydb_auth.users SET email = 'drifted@example.com' WHERE id = $1`, id)
			requireDone(mirror.Differing, refresh.Updated, "email")
			require.Equal(t, whole, row())

			b.exec(t, `UPDATE capydb_auth.users SET deleted_at = '2026-01-01 00:00Z' WHERE id = $1`, id)
			requireDone(refresh.DeletedHere, refresh.Restored)
			require.Equal(t, whole, row())

			f.account.Delete(3)
			requireDone(refresh.Gone, refresh.Removed)
			require.Contains(t, row(), " f")
			requireDone(refresh.Gone, refresh.Nothing)

			id = f.id(99)
			_, err := b.one.Refresh(t.Context(), b.projectID, user(id), "")
			require.True(t, fault.Is(err, fault.UserNotFound), err)
			require.ErrorContains(t, err, "check the id")
			require.Equal(t, "1", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))

			b.exec(t, `SELECT capydb_auth.ensure_user($1)`, id)
			requireDone(refresh.Gone, refresh.Removed)
			id = f.id(4)
			b.exec(t, `SELECT capydb_auth.ensure_user($1)`, id)
			requireDone(mirror.Missing, refresh.Created)
		})
	}
}

func TestRefreshSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, start := range fakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			f := start(t, b)
			read := func() error {
				_, err := b.one.Refresh(t.Context(), b.projectID, user(f.id(1)), f.name)
				return err
			}
			f.server.Fail(demoprovider.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"90"}, "X-Retry-After": {"90"}}})
			var limited *userapi.RateLimitError
			require.ErrorAs(t, read(), &limited)
			b.clock.Advance(2 * time.Minute)

			f.server.Fail(slices.Repeat([]demoprovider.Fault{{Status: http.StatusInternalServerError}}, 4)...)
			require.True(t, fault.Is(read(), fault.ProviderUnavailable))

			was := b.integrations[f.name]
			b.store(f.name, &stored{provider.Credentials{
				SecretKey: "sk_test_wrong", Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: "wrong", SessionToken: "wrong",
			}, was.options})
			err := read()
			require.True(t, fault.Is(err, fault.CredentialsRefused), err)
			require.NotContains(t, err.Error(), "sk_test_wrong")

			b.store(f.name, &stored{provider.Credentials{}, provider.Options{}})
			require.True(t, fault.Is(read(), fault.Unsupported))
			require.ErrorContains(t, read(), "authsync integrations set PROJECT "+f.name)

			b.store(f.name, nil)
			require.ErrorIs(t, read(), project.ErrNoIntegration)
			require.Equal(t, "0", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
		})
	}
}

func TestRefreshChoosesTheProvider(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read := func(id, name string) (refresh.Repair, error) {
		return b.one.Refresh(t.Context(), b.projectID, user(id), name)
	}
	_, err := read("x", "")
	require.True(t, fault.Is(err, fault.Invalid), err)
	require.ErrorContains(t, err, "no integration")

	tenant, instance := b.auth0(t, 3), b.clerk(t, 3)
	_, err = read(demoprovider.ClerkID(1), "")
	require.True(t, fault.Is(err, fault.Invalid), err)
	require.ErrorContains(t, err, "(auth0, clerk), and the mirror has no such user")
	b.exec(t, `SELECT capydb_auth.ensure_user('user_placeholder')`)
	_, err = read("user_placeholder", "")
	require.ErrorContains(t, err, "a placeholder only")
	require.Zero(t, tenant.Requests("")+instance.Requests(""), "nobody is asked in vain")

	got, err := read(demoprovider.ClerkID(1), provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, refresh.Created, got.Done)
	got, err = read(demoprovider.ClerkID(1), "")
	require.NoError(t, err)
	require.Equal(t, []string{provider.Clerk, mirror.Equal}, []string{got.Provider, got.Found}, "the row tells")

	// What another provider does not know may be known to the one that it is of.
	for _, id := range []string{demoprovider.ClerkID(1), "user_placeholder"} {
		got, err = read(id, provider.Auth0)
		require.NoError(t, err)
		require.Equal(t, []string{refresh.Gone, refresh.Nothing}, []string{got.Found, got.Done})
		require.Contains(t, *got.Note, "another provider")
	}
	require.Equal(t, "2", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE deleted_at IS NULL`))

	b.store(provider.Clerk, nil)
	b.store(provider.BetterAuth, &stored{})
	_, err = read(demoprovider.ClerkID(1), "")
	require.ErrorContains(t, err, "came from clerk, which the project does not have any more")
}

// A row that the customer's database refuses is told, with its words.
func TestRefreshTellsThatTheRowIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.auth0(t, 3)
	b.exec(t, `ALTER TABLE capydb_auth.users ADD CONSTRAINT nobody CHECK (email IS NULL)`)
	_, err := b.one.Refresh(t.Context(), b.projectID, user(demoprovider.Auth0ID(1)), "")
	require.True(t, fault.Is(err, fault.RowRefused), err)
	require.ErrorContains(t, err, "constraint nobody")
}

func TestRefreshesShareAToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 3)
	for i := range 3 {
		_, err := b.one.Refresh(t.Context(), b.projectID, user(demoprovider.Auth0ID(i)), "")
		require.NoError(t, err)
	}
	require.Equal(t, 1, tenant.Requests("/oauth/token"))
	require.Equal(t, 3, tenant.Requests("/users/"), "one call a user")

	tenant.Secret = "another"
	changed := b.integrations[provider.Auth0]
	changed.credentials.ClientSecret = "another"
	b.store(provider.Auth0, &changed)
	_, err := b.one.Refresh(t.Context(), b.projectID, user(demoprovider.Auth0ID(0)), "")
	require.NoError(t, err)
	require.Equal(t, 2, tenant.Requests("/oauth/token"), "new credentials count at once")
}
