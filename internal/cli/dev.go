package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/svixrelay"
)

func (s *session) newDev() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a server with everything it needs, PostgreSQL included",
		Long: `Runs a server for development and for trying authsync out. It needs no configuration:
it starts its own PostgreSQL in AUTHSYNC_DATA_DIR (.authsync), creates a project demo
with all three providers, and on the first start sends itself signed events and shows
the rows. It listens on AUTHSYNC_LISTEN (127.0.0.1:8080), and prints a line for every
webhook: its type, its id and its outcome, or why it was rejected. Of requests to
unknown projects it shows the newest once a second and counts the others.

The data directory contains connection.env, for shells and for the other commands,
which find the server through it; demo-secrets.env with the demo project's signing
secrets; and authsync.log. Ctrl-C stops the server; the data stays. Remove the
directory to start over.

--demo-provider also runs stand-ins for Clerk, Auth0 and Better Auth with generated
users, on this machine only, to try backfill, reconcile, refresh and redeliver without
an account. From then on every start includes it.

--provider clerk --key sk_test_… connects project demo to a development instance of
Clerk: its users are read at once, and its webhooks are set up at Clerk, as
integrations set --provision does, to come to AUTHSYNC_PUBLIC_URL, or without one
through Svix's relay, which is open while the server runs. If Clerk's side is not as
expected, the endpoint to add there by hand is printed (see authsync listen). The key
is stored; later starts need not have it, and have the same endpoint.`,
		Example: "  authsync dev\n" +
			"  authsync dev --demo-provider\n" +
			"  authsync dev --provider clerk --key sk_test_abc\n" +
			"  AUTHSYNC_DATA_DIR=/tmp/try AUTHSYNC_LISTEN=127.0.0.1:0 authsync dev",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return s.dev(cmd.Context(), &f)
		},
	}
	cmd.Flags().BoolVar(&f.demoProvider, "demo-provider", false, "also run stand-ins for the providers, with users to read")
	cmd.Flags().StringVar(&f.provider, "provider", "", "also connect a real provider: clerk")
	cmd.Flags().StringVar(&f.key, "key", "", "its API key, of a development instance (sk_test_…)")
	cmd.Flags().StringVar(&f.baseURL, "base-url", "", "where the provider's API is reached instead of at its own address")
	cmd.Flags().StringVar(&f.relay, "relay", svixrelay.Address, "address of the relay of its webhooks")
	return cmd
}

func (s *session) dev(ctx context.Context, f *devFlags) error {
	c, err := s.settings()
	if err != nil {
		return err
	}
	d, err := app.StartDev(ctx, app.DevConfig{
		Config: c, DemoProvider: f.demoProvider,
		Progress: func(line string) { fmt.Fprintln(s.Err, "authsync: "+line) },
		Warnings: s.Err,
	})
	if err != nil {
		return err
	}
	users, err := d.SendSamples(ctx)
	if err == nil {
		err = s.greet(d, c.DataDir, users)
	}
	if err != nil && ctx.Err() == nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
		defer cancel()
		if stopping := d.Stop(stopCtx); stopping != nil {
			return fmt.Errorf("%w; %w", err, stopping)
		}
		return err
	}
	following, unfollow := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() {
		d.Follow(following, func(m app.Message) { s.showMessage(d, m) }, func(n int64) {
			_ = s.notice("authsync: %s came than can be shown", plural.Of(n, "more message")) // nothing to be done about it
		})
	})
	if f.provider != "" || d.DemoProvider == "" {
		followed.Go(func() {
			if err := f.connect(following, s, d, c); err != nil && following.Err() == nil {
				_ = s.notice("authsync: Clerk is not connected: %v", describe(err)) // the server runs on
			}
		})
	}
	err = runUntil(ctx, d.Failed(), c, func(context.Context) {}, d.Stop)
	unfollow()
	followed.Wait()
	if err == nil {
		err = s.notice("authsync: stopped; everything is still there for the next authsync dev")
	}
	return err
}

// greet tells a person what runs and what to try.
func (s *session) greet(d *app.Dev, dataDir string, users []app.DemoUser) error {
	if s.json {
		return s.printJSON(s.devReport(d))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nauthsync runs at %s, PostgreSQL %s beside it. The log is %s.\n", d.App.URL(), d.Postgres, filepath.Join(dataDir, "authsync.log"))
	if len(users) > 0 {
		b.WriteString("\nIt sent itself signed events. In the demo project's database, capydb_auth.users has now:\n\n")
		t := table{head: []string{"ID", "PROVIDER", "EMAIL", "FIRST_NAME", "LAST_NAME", "DELETED_AT"}}
		for _, u := range users {
			t.add(u.ID, u.Provider, orNull(u.Email), orNull(u.FirstName), orNull(u.LastName), clockOrDash(u.DeletedAt))
		}
		if err := s.printTo(&b, t, s.width()); err != nil {
			return err
		}
	}
	b.WriteString("\nWebhook URLs of project demo:\n\n")
	for _, r := range s.devReport(d).Webhooks {
		fmt.Fprintf(&b, "  %-12s %s\n", r.Provider, r.URL)
	}
	fmt.Fprintf(&b, "\nIn a browser: %s (jobs: %s)\nSign in with AUTHSYNC_API_KEY of %s.\n",
		d.App.URL()+"/", s.devReport(d).RiverUI, filepath.Join(dataDir, config.ConnectionFile))
	fmt.Fprintf(&b, `
Try next, in another terminal:

  set -a; . %[1]s; . %[2]s; set +a

  curl -i "$AUTHSYNC_URL%[3]s/integrations/auth0/webhook/$DEMO_PROJECT_ID" \
    -H "Authorization: Bearer $DEMO_AUTH0_SECRET" -H 'Content-Type: application/json' \
    -d '{"specversion": "1.0", "type": "user.created", "id": "evt_curl_1", "time": "2026-01-31T12:00:00Z",
         "source": "urn:auth0:example.eu.auth0.com", "data": {"object": {"user_id": "auth0|curl", "email": "curl@example.com",
         "created_at": "2026-01-31T12:00:00Z", "updated_at": "2026-01-31T12:00:00Z"}}}'

  psql "$DEMO_DATABASE_URL" -c 'SELECT id, email, first_name, deleted_at FROM capydb_auth.users'

  %[4]s send demo clerk user.created --set first_name=Grace --wait
%[5]s
Every webhook that comes shows here. Ctrl-C stops it; everything is still there the next time.

`, quoted(filepath.Join(dataDir, config.ConnectionFile)), quoted(filepath.Join(dataDir, app.SecretsFile)), client.Prefix, quoted(s.Program), s.demoLines(d))
	return s.printf("%s", b.String())
}

// demoLines are the lines to try with the demo provider.
func (s *session) demoLines(d *app.Dev) string {
	if d.DemoProvider == "" {
		return ""
	}
	return fmt.Sprintf(`
The demo provider (%[1]s) has users of Clerk, Auth0 and Better Auth, which are read now:

  %[2]s backfill demo clerk
  %[2]s demo-provider users create clerk --email ada@example.com --first-name Ada
  %[2]s demo-provider users create auth0 --email eve@example.com --lose-webhook
  %[2]s reconcile demo auth0 --dry-run
  %[2]s redeliver demo auth0
`, d.DemoProvider, quoted(s.Program))
}

// quoted makes a path safe for a shell.
func quoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+@", r)
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// devReport is what dev tells with --json, once it runs.
type devReport struct {
	URL       string `json:"url"`
	RiverUI   string `json:"river_ui"`
	DataDir   string `json:"data_dir"`
	Postgres  string `json:"postgres"`
	ProjectID string `json:"project_id"`
	// DemoProvider is its address; absent where it does not run.
	DemoProvider string       `json:"demo_provider,omitempty"`
	Webhooks     []devWebhook `json:"webhooks"`
}

type devWebhook struct {
	Provider string `json:"provider"`
	URL      string `json:"url"`
}

func (s *session) devReport(d *app.Dev) devReport {
	r := devReport{URL: d.App.URL(), RiverUI: d.App.RiverUI(), DataDir: d.Dir, Postgres: d.Postgres, ProjectID: d.Demo.ID.String(), DemoProvider: d.DemoProvider}
	for _, name := range provider.Names() {
		r.Webhooks = append(r.Webhooks, devWebhook{name, client.New(r.URL, "").WebhookURL(name, r.ProjectID)})
	}
	return r
}
