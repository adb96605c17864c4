package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newIntegrationsSet() *cobra.Command {
	g := given{
		all:     source{flag: "credentials"},
		signing: source{flag: "webhook-signing-secret"}, secretKey: source{flag: "secret-key"},
		oneKey: oneKey{clientSecret: source{flag: "client-secret"}},
	}
	cmd := &cobra.Command{
		Use:   "set PROJECT PROVIDER",
		Short: "Set up a provider or change its credentials and options",
		Long: `Installs the mirror in the project's database, stores the credentials encrypted, and
prints the URL to enter at the provider. Settings that are left out stay unchanged, so
you can run it without a secret first to get the URL.

Secrets come from a file, standard input (-) or an environment variable, never from
a flag. A file may contain several signing secrets, one per line: all are accepted,
the first one signs. At a terminal the command prompts for missing secrets.

To change a secret without losing an event: give the new one with --add-secret, which
keeps those that are stored valid, change the provider over, and once get shows that
the old one is no longer used, drop it with --drop-old-secrets.

--provision needs no second dashboard: authsync creates the webhook at the provider, or
adopts the one that leads to its URL, keeps its secret and event types in step, has the
provider send a test event and waits for it. Auth0: give --domain, --client-id and the
client secret of a machine-to-machine application with the permissions read:, create:,
update: and delete:event_streams. Clerk: give the secret key; Clerk does not document how,
so if it has changed, the command says how to do it by hand. The server must be
reachable at AUTHSYNC_PUBLIC_URL.

--option pull=true has authsync fetch events itself, so that no public URL is needed: of
Auth0 (permission read:events), or of the tables of a Better Auth server, by triggers
(docs/pull.md). get shows how that is going.

--generate-secret generates the signing secret, for Better Auth and Auth0, and prints
it once: authsync never shows it again. Clerk generates its own.`,
		Example: "  authsync integrations set shop clerk\n" +
			"  authsync integrations set shop auth0 --provision --domain shop.eu.auth0.com --client-id ID --client-secret-file FILE\n" +
			"  authsync integrations set shop clerk --provision --secret-key-env CLERK_SECRET_KEY\n" +
			"  authsync integrations set shop custom:acme -f acme.yaml\n" +
			"  authsync integrations set shop better-auth --generate-secret\n" +
			"  authsync integrations set shop auth0 --webhook-signing-secret-env AUTH0_TOKEN --option absent_fields=clear\n" +
			"  echo '{\"webhook_authorization\": {\"method\": \"basic\", \"username\": \"u\", \"password\": \"p\"}}' |\n" +
			"    authsync integrations set shop auth0 --credentials-file -",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, name, err := integrationPath(args[0], args[1])
			if err != nil {
				return err
			}
			in, err := s.integrationInput(name, g)
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if given, ok := in["options"].(map[string]any); ok {
				if in["options"], err = withOptions(cmd.Context(), c, path, given); err != nil {
					return err
				}
			}
			var secret *client.MadeSecret
			if g.generate {
				if secret, err = generateSecret(cmd.Context(), c, path, name, g, in); err != nil {
					return err
				}
			}
			var i client.Integration
			if err := c.Do(cmd.Context(), http.MethodPut, path, in, &i); err != nil {
				return err
			}
			if g.provision && !g.noWait {
				return s.provisioned(cmd.Context(), c, path, integrationSet{i, secret})
			}
			if s.json {
				return s.printJSON(integrationSet{i, secret})
			}
			if err := s.printf("Set. Point %s at:\n  %s\n", name, i.Config.WebhookReceiver); err != nil {
				return err
			}
			if err := s.printSecret(secret); err != nil {
				return err
			}
			for _, note := range i.Config.Notes {
				if err := s.printf("Note: %s.\n", printable(note)); err != nil {
					return err
				}
			}
			if err := s.printBackfillStart(args[0], name, i.Config.Backfill); err != nil {
				return err
			}
			if i.Pull != nil {
				if err := s.printf("Events are pulled, so that %s need not reach the URL above. To see how that is going: authsync integrations get %s %s\n",
					name, args[0], name); err != nil {
					return err
				}
			}
			return s.printReconcileSchedule(i.Config.Reconcile)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&g.definition, "file", "f", "", "file with the definition of a provider of your own (custom:NAME), in YAML or JSON")
	f.StringVar(&g.all.file, "credentials-file", "", "file with all credentials as a JSON object; - is standard input")
	f.StringVar(&g.all.env, "credentials-env", "", "environment variable with the same")
	f.StringVar(&g.signing.file, "webhook-signing-secret-file", "", "file with the signing secret, or several, one per line; - is standard input")
	f.StringVar(&g.signing.env, "webhook-signing-secret-env", "", "environment variable with the same")
	f.StringVar(&g.secretKey.file, "secret-key-file", "", "file with the provider's API key (Clerk, WorkOS: sk_…); - is standard input")
	f.StringVar(&g.secretKey.env, "secret-key-env", "", "environment variable with the same")
	f.BoolVar(&g.generate, "generate-secret", false, "generate the webhook signing secret and print it once")
	f.BoolVar(&g.replace, "replace-secret", false, "with --generate-secret: replace the current secret, which is then rejected")
	f.BoolVar(&g.add, "add-secret", false, "accept the new webhook signing secret beside those that are stored")
	f.BoolVar(&g.dropOld, "drop-old-secrets", false, "accept the newest of the stored webhook signing secrets only")
	f.BoolVar(&g.adoptAccount, "adopt-account", false, "take credentials of another account (tenant, instance, server) than the one whose users the mirror has")
	g.flags(f)
	f.StringArrayVar(&g.options, "option", nil, "an option as name=value, such as reconcile.every=24h; null removes it; may be repeated")
	return cmd
}

// withOptions gives the options that an integration has, with those that are given:
// the API takes them as a whole.
func withOptions(ctx context.Context, c *client.Client, path string, given map[string]any) (map[string]any, error) {
	var i client.Integration
	err := c.Do(ctx, http.MethodGet, path+"?compare=false", nil, &i)
	if err != nil && client.Status(err) != http.StatusNotFound {
		return nil, err
	}
	options := map[string]any{}
	if len(i.Options) > 0 {
		if err := json.Unmarshal(i.Options, &options); err != nil {
			return nil, fmt.Errorf("read the options that are set: %w", err)
		}
	}
	return merged(options, given), nil
}

// merged is one object with the members of another in place of its own, at any
// depth; null takes a member away.
func merged(into, from map[string]any) map[string]any {
	for name, value := range from {
		object, isObject := value.(map[string]any)
		inner, wasObject := into[name].(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isObject && wasObject:
			into[name] = merged(inner, object)
		case isObject:
			into[name] = merged(map[string]any{}, object)
		default:
			into[name] = value
		}
	}
	return into
}

// printBackfillStart tells whether setting up a provider has started a backfill.
func (s *session) printBackfillStart(project, providerName string, b *client.BackfillStart) error {
	switch {
	case b == nil:
		return nil
	case b.Started:
		return s.printf("All users are read into the mirror now. To see how far it is: authsync backfill %s %s\n", project, providerName)
	default:
		return s.printf("Existing users were not read: %s\n", printable(orNull(b.Reason)))
	}
}

// printReconcileSchedule tells how often the mirror is compared with the provider.
func (s *session) printReconcileSchedule(r client.ReconcileSchedule) error {
	if r.Every == nil {
		return nil
	}
	change := ""
	if r.Default {
		change = " To change that: --option reconcile.every=24h, or never."
	}
	return s.printf("The mirror is compared with the provider, and repaired, every %s.%s\n", printable(*r.Every), change)
}

// integrationInput puts the body of the call together.
func (s *session) integrationInput(providerName string, g given) (in map[string]any, err error) {
	in = map[string]any{}
	credentials := map[string]any{}
	if g.all.given() {
		text, err := s.read(g.all)
		if err != nil {
			return nil, err
		}
		// The error of JSON would quote the text, which is secret.
		if json.Unmarshal([]byte(text), &credentials) != nil {
			return nil, usagef("--credentials-file: it must hold a JSON object such as {\"webhook_signing_secret\": \"…\"}")
		}
	}
	if g.signing.given() {
		text, err := s.read(g.signing)
		if err != nil {
			return nil, err
		}
		credentials[signingSecret] = pasted.Lines(text)
	}
	if g.secretKey.given() {
		text, err := s.read(g.secretKey)
		if err != nil {
			return nil, err
		}
		credentials["secret_key"] = text
	}
	if err := s.readOneKey(g.oneKey, credentials); err != nil {
		return nil, err
	}
	if err := g.checkSecrets(credentials[signingSecret] != nil); err != nil {
		return nil, err
	}
	if g.dropOld {
		credentials[signingSecret] = map[string]any{"keep": 1}
	}
	if !g.provision && !g.hasCredentials() && !g.all.given() && !g.signing.given() && !g.secretKey.given() && !g.generate && !g.dropOld {
		secret, err := s.ask("Webhook signing secret of " + providerName + " (empty: leave as it is): ")
		if err != nil {
			return nil, err
		}
		if secret != "" {
			credentials[signingSecret] = secret
		}
	}
	if g.add && !g.generate {
		if credentials[signingSecret], err = added(credentials[signingSecret]); err != nil {
			return nil, err
		}
	}
	if len(credentials) > 0 {
		in["credentials"] = credentials
	}
	options, err := parseSet("--option", g.options)
	if err != nil {
		return nil, err
	}
	if g.definition != "" {
		if !strings.HasPrefix(providerName, provider.CustomPrefix) {
			return nil, usagef("-f is for a provider of your own, such as custom:%s: what %s sends is known", providerName, provider.Title(providerName))
		}
		if options["definition"], err = readDefinition(g.definition); err != nil {
			return nil, err
		}
	}
	if g.provision {
		options["provision"] = true
	}
	if len(options) > 0 {
		in["options"] = options
	}
	if g.adoptAccount {
		in["adopt_account"] = true
	}
	return in, nil
}
