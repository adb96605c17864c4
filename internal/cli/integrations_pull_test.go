package cli

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// pulledTenant is an Auth0 whose events can be pulled, and the arguments that have project shop do so.
func pulledTenant(t *testing.T, b *testBundle) (*demoprovider.Auth0, []string) {
	t.Helper()
	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(0), time.Now)
	tenant.Scope = "read:users " + demoprovider.Auth0EventScope
	base := userapitest.Start(t, tenant)
	t.Cleanup(tenant.Events.End)
	credentials, err := json.Marshal(map[string]string{
		"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
	})
	require.NoError(t, err)
	b.env["AUTH0_APPLICATION"] = string(credentials)
	return tenant, []string{
		"integrations", "set", "shop", "auth0", "--credentials-env", "AUTH0_APPLICATION",
		"--option", "pull=true", "--option", "base_url=" + base, "--option", "record_types=[\"users\"]",
	}
}

func (b *testBundle) pull(t *testing.T) *client.Pull {
	t.Helper()
	var i client.Integration
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "integrations", "get", "shop", "auth0", "--json")), &i))
	return i.Pull
}

// One command, and what happens at the provider is in the mirror without a webhook; with one, too, it
// is applied once.
func TestEventsArePulled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant, args := pulledTenant(t, b)
	require.Contains(t, b.must(t, args...), "Events are pulled, so that auth0 need not reach the URL above.")
	header, body, err := auth0.New().Sign(provider.Sample{Type: "user.created", ID: "evt_both", UserID: "auth0|ada", At: time.Now().Add(-time.Minute)},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{"a plain secret of the stream"}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	tenant.Events.Publish(time.Now(), body)
	outcomes := func() (all []string) {
		var events []client.Event
		require.NoError(t, json.Unmarshal([]byte(b.must(t, "events", "list", "shop", "--user", "auth0|ada", "--json")), &events))
		for _, e := range events {
			all = append(all, e.Outcome)
		}
		return all
	}
	waittest.Until(t, func() bool { o := outcomes(); return len(o) == 1 && o[0] == "applied" })
	require.Contains(t, b.must(t, "explain", "shop", "auth0|ada"), "auth0|ada")

	var i client.Integration
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "integrations", "get", "shop", "auth0", "--json")), &i))
	c := client.New(b.app.URL(), "")
	t.Cleanup(c.Close)
	var projects []client.Project
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "projects", "list", "--json")), &projects))
	require.NoError(t, c.Deliver(t.Context(), "auth0", projects[0].ID, header, body))
	waittest.Until(t, func() bool { o := outcomes(); return len(o) == 2 && o[0] == "duplicate" })

	require.Equal(t, "connected", i.Pull.State)
	require.EqualValues(t, 1, i.Pull.Messages)
	require.NotNil(t, i.Pull.LastMessageAt)
	out := b.must(t, "integrations", "get", "shop", "auth0")
	require.Regexp(t, `(?m)^PULLED EVENTS +CONNECTED SINCE +LAST EVENT +EVENTS$`, out)
	require.Regexp(t, `(?m)^connected +\S+.* 1$`, out)
	require.Contains(t, b.must(t, "doctor"), "ok       pulls: none is failing")

	b.must(t, "integrations", "set", "shop", "auth0", "--option", "pull=false")
	waittest.Until(t, func() bool { return tenant.Events.Open() == 0 })
	require.Nil(t, b.pull(t))
}

// What is wrong is seen wherever somebody looks, and gone once it is put right.
func TestPullingThatFailsIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant, args := pulledTenant(t, b)
	tenant.Fail(demoprovider.Fault{Path: "/events", Status: http.StatusForbidden, Body: `{"errorCode":"insufficient_scope"}`})
	b.must(t, args...)
	waittest.Until(t, func() bool { return b.pull(t).State == "failing" })
	out := b.must(t, "integrations", "get", "shop", "auth0")
	require.Contains(t, out, "Pulling fails: the Auth0 application of credentials.client_id lacks the permission read:events (403, pull the events): grant it")
	execute(t, b.control, `UPDATE authsync.pulls SET consecutive_failures = 3, retry_at = now() + interval '1 hour'`)
	b.doctorSays(t, "failed   pulls: pulling from auth0 of project shop has failed 3 times in a row: the Auth0 application", "authsync integrations get shop auth0")
	b.must(t, args...)
	waittest.Until(t, func() bool { return b.pull(t).State == "connected" })
}

// Events that cannot be had any more are made up for by a reconcile.
func TestLostEventsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant, args := pulledTenant(t, b)
	tenant.Fail(demoprovider.Fault{Path: "/events", Status: http.StatusGone})
	tenant.Account.Create()
	b.must(t, args...)
	waittest.Until(t, func() bool { p := b.pull(t); return p.LostAt != nil && !p.ReconcileDue })
	require.Contains(t, b.must(t, "integrations", "get", "shop", "auth0"), "Events were lost at ")
	waittest.Until(t, func() bool {
		var done bool
		require.NoError(t, b.control.QueryRow(t.Context(),
			`SELECT EXISTS (SELECT FROM authsync.sync_runs WHERE kind = 'reconcile' AND provider = 'auth0' AND state = 'done')`).Scan(&done))
		return done
	})
}

func TestPullIsForThoseWhoCanBePulled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.run(t, "integrations", "set", "shop", "clerk", "--option", "pull=true")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "options.pull is for Auth0 and Better Auth")
	r = b.run(t, "integrations", "set", "shop", "auth0", "--option", "pull=true")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "options.pull needs credentials.domain, credentials.client_id, credentials.client_secret")
}

// Whoever writes to the tables of Better Auth, it is in the mirror; turning it off leaves nothing.
func TestTablesArePulled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	execute(t, b.project, `CREATE TABLE "user" (id text PRIMARY KEY, name text, email text, "emailVerified" boolean, image text, "createdAt" timestamptz, "updatedAt" timestamptz)`)
	const objects = `SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'authsync_changes%') + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'authsync%')`
	count := func() (n int) {
		require.NoError(t, b.project.QueryRow(t.Context(), objects).Scan(&n))
		return n
	}
	email := func() (email string) {
		_ = b.project.QueryRow(t.Context(), `SELECT email FROM capydb_auth.users WHERE id = 'u1'`).Scan(&email) // none yet
		return email
	}
	b.must(t, "integrations", "set", "shop", "better-auth", "--option", "pull=true", "--option", `source={}`)
	require.Equal(t, 3, count(), "they are there before the command ends")
	execute(t, b.project, `INSERT INTO "user" VALUES ('u1', 'Ada', 'ada@example.com', true, NULL, now(), now())`)
	waittest.Until(t, func() bool { return email() == "ada@example.com" })
	execute(t, b.project, `UPDATE "user" SET email = 'lovelace@example.com'`) // without a newer updatedAt
	waittest.Until(t, func() bool { return email() == "lovelace@example.com" })
	execute(t, b.project, `DELETE FROM "user"`)
	waittest.Until(t, func() bool {
		var gone bool
		require.NoError(t, b.project.QueryRow(t.Context(), `SELECT deleted_at IS NOT NULL FROM capydb_auth.users WHERE id = 'u1'`).Scan(&gone))
		return gone
	})
	require.Contains(t, b.must(t, "integrations", "get", "shop", "better-auth"), "connected")
	b.must(t, "integrations", "set", "shop", "better-auth", "--option", "pull=false")
	require.Zero(t, count())

	b.must(t, "integrations", "set", "shop", "better-auth", "--option", "pull=true")
	require.Equal(t, 3, count())
	b.must(t, "integrations", "delete", "shop", "better-auth", "--yes")
	require.Zero(t, count())
}
