package docstest_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// clerk makes a project that mirrors an account of Clerk's, all of it read.
func clerk(t *testing.T, account *demoprovider.Account, change ...func(*demoprovider.Clerk)) *scene {
	t.Helper()
	s := newScene(t, "")
	s.shop()
	server := demoprovider.NewClerk(account, time.Now)
	for _, c := range change {
		c(server)
	}
	s.put("clerk", map[string]any{
		"credentials": map[string]string{"secret_key": demoprovider.ClerkKey},
		"options":     map[string]string{"base_url": userapitest.Start(t, server)},
	})
	s.count(account.Len(), `SELECT count(*) FROM capydb_auth.users`)
	s.hidden("until authsync backfill shop clerk --status | grep -i done; do :; done")
	return s
}

// withShop makes a project and nothing else.
func withShop(t *testing.T) *scene {
	t.Helper()
	s := newScene(t, "")
	s.shop()
	return s
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/backfill.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return clerk(t, demoprovider.NewAccount(7), func(c *demoprovider.Clerk) {
				for i, name := range []string{"Lighthouse", "Beacon"} {
					c.Organizations.Add(name, []demoprovider.Member{{User: i, Role: "admin"}, {User: i + 1, Role: "member"}},
						demoprovider.Invitation{Number: i, Email: "guest@example.com", Role: "member"})
				}
			})
		},
		// The provider of this test is smaller, and was read before.
		paste: func(*scene) []string {
			return []string{
				"1,200 users read, and 3 organizations, 15 memberships, 3 invitations: 1,221 new or changed, 0 unchanged",
				"7 users read, and 2 organizations, 4 memberships, 2 invitations: 0 new or changed, 15 unchanged",
			}
		},
		commands: map[string]step{
			"authsync grant shop shop_app --ensure-user": {before: func(s *scene) {
				s.execute(s.stage.postgres.URL("postgres"), `DROP ROLE IF EXISTS shop_app; CREATE ROLE shop_app`)
			}},
		},
	}.run(t)
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	account := demoprovider.NewAccount(60)
	walk{
		file: "docs/reconcile.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return clerk(t, account)
		},
		commands: map[string]step{
			"authsync reconcile shop clerk --dry-run --json > drift.json || jq .drift drift.json": {before: func(*scene) {
				account.Create()
			}},
		},
		blocks: map[string]step{
			"$ authsync reconcile shop clerk": {before: func(s *scene) {
				account.Create()
				account.Delete(30)
				s.execute(s.project, fmt.Sprintf(`
					UPDATE capydb_auth.users SET email = 'old@example.com', username = 'old', raw = jsonb_set(raw, '{first_name}', '"Old"') WHERE id = '%s';
					UPDATE capydb_auth.users SET deleted_at = now() WHERE id = '%s'`, demoprovider.ClerkID(10), demoprovider.ClerkID(20)))
			}},
			"No user was deleted: 1800 of 21034 users of the mirror were not in the provider's list: 8.6 %, where the limit is 5 % (option": {
				instead: func(s *scene, shown string) {
					for i := range 12 { // more than are deleted whatever their share
						account.Delete(i)
					}
					out, status, err := s.shell.Run("authsync reconcile shop clerk", "")
					require.NoError(s.t, err)
					require.Equal(s.t, 1, status)
					require.True(s.t, docstest.Matches("…"+shown+"…", out), out)
				},
			},
		},
		paste: func(*scene) []string {
			return []string{
				"user_2abc…", demoprovider.ClerkID(10), "user_2def…", demoprovider.ClerkID(20), "user_2ghi…", demoprovider.ClerkID(30),
				"user_2jkl…", demoprovider.ClerkID(60), "21,034", "60", "1800 of 21034", "12 of 60", "8.6 %", "20 %",
			}
		},
	}.run(t)
}

func TestRepair(t *testing.T) {
	t.Parallel()
	account := demoprovider.NewAccount(5)
	account.SetProfile(1, demoprovider.Profile{Email: "ada@shop.test"})
	tenant := demoprovider.NewAuth0(account, time.Now)
	tenant.Scope = "read:users " + demoprovider.Auth0StreamScopes
	walk{
		file: "docs/repair.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			s.shop()
			settings := readAuth0(userapitest.Start(t, tenant))
			credentials, _ := settings["credentials"].(map[string]string)
			credentials["webhook_signing_secret"] = "a long random text for this test"
			endpoint := s.put("auth0", settings)
			tenant.Streams.Start(s.url, demoprovider.Auth0Stream{ID: auth0Stream, Name: "authsync", Endpoint: endpoint, Token: credentials["webhook_signing_secret"]})
			s.count(5, `SELECT count(*) FROM capydb_auth.users`)
			tenant.Streams.AddFailed(auth0Stream, []byte(auth0Event("evt_lost", "auth0|lost")))
			return s
		},
		blocks: map[string]step{
			"$ authsync refresh shop 'auth0|5f7c8ec7c33c6c004bbafe82'": {before: func(s *scene) {
				s.execute(s.project, `UPDATE capydb_auth.users SET email = 'old@example.com' WHERE id = '`+demoprovider.Auth0ID(3)+`'`)
			}},
		},
		commands: map[string]step{
			"authsync redeliver shop auth0 --since 2026-01-31T08:00:00Z": {after: func(s *scene) {
				s.count(6, `SELECT count(*) FROM capydb_auth.users`)
			}},
		},
		paste: func(*scene) []string {
			return []string{"auth0|5f7c8ec7c33c6c004bbafe82", demoprovider.Auth0ID(3), "ada@example.com", "ada@shop.test"}
		},
	}.run(t)
}

func TestOutbound(t *testing.T) {
	t.Parallel()
	walk{
		file:  "docs/outbound.md",
		begin: withShop,
		blocks: map[string]step{
			"options.base_url: https://10.0.0.5 is a private address (10.0.0.0/8); give a public one, or let the operator add": {
				instead: func(s *scene, shown string) {
					out, status, err := s.shell.Run("authsync integrations set shop clerk --option base_url=https://10.0.0.5", "")
					require.NoError(s.t, err)
					require.Equal(s.t, 1, status)
					require.True(s.t, docstest.Matches("…"+shown+"…", out), out)
				},
			},
		},
		commands: map[string]step{
			"AUTHSYNC_ALLOW_TARGETS=billing.internal,10.20.0.0/16,192.168.1.7,fd12:3456::/48": {after: func(s *scene) {
				require.Contains(s.t, s.hidden("AUTHSYNC_ALLOW_TARGETS=$AUTHSYNC_ALLOW_TARGETS authsync config"), "fd12:3456::/48")
			}},
		},
	}.run(t)
}

func TestFeed(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/feed.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return clerk(t, demoprovider.NewAccount(3))
		},
		blocks: map[string]step{
			"BEGIN ISOLATION LEVEL REPEATABLE READ;  -- all statements see the same changes": {
				before: func(s *scene) { s.execute(s.project, `CREATE TABLE welcome_mails (user_id text PRIMARY KEY)`) },
				after:  func(s *scene) { s.count(3, `SELECT count(*) FROM welcome_mails`) },
			},
			"// follow hands every change behind the cursor to handle, one after another, and": {
				untested: "the tests of internal/mirror run it against two writers, and compare it with the page",
			},
			`import pg from "pg";`: {instead: func(s *scene, text string) {
				require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "follow.js"), []byte(text), 0o600))
				out := s.node(s.env("URL="+s.project), "follow.js", `
					import { follow } from "./follow.mjs";
					let seen = 0;
					await follow(process.env.URL, 0, async (row) => { console.log(row.user_id); if (++seen === 3) process.exit(0); });`)
				require.Contains(s.t, out, demoprovider.ClerkID(2))
			}},
		},
	}.run(t)
}

func TestDatabases(t *testing.T) {
	t.Parallel()
	walk{
		file:  "docs/databases.md",
		begin: withShop,
		blocks: map[string]step{
			"postgres://user:password@host:5432/database?sslmode=verify-full": {
				instead: func(s *scene, shown string) {
					_, err := pgdb.CheckTenantURL(strings.TrimSpace(shown))
					require.NoError(s.t, err)
				},
			},
			"REVOKE CONNECT ON DATABASE authsync FROM PUBLIC;": {
				instead: func(s *scene, statement string) { s.execute(s.control, statement) },
			},
		},
		paste: func(s *scene) []string {
			at, err := url.Parse(s.control)
			require.NoError(s.t, err)
			return []string{"DATABASE authsync", "DATABASE " + strings.TrimPrefix(at.Path, "/")}
		},
		end: func(s *scene) {
			s.hidden("authsync projects list") // its own role goes on, and so does the project
		},
	}.run(t)
}
