package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
)

func (s *session) newIntegrations() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "integrations",
		Short: "Set up the providers of a project",
		Long: `An integration connects a provider to a project: auth0, clerk, better_auth,
` + strings.Join(provider.Presets(), ", ") + `,
or one of your own, such as custom:acme, which a file defines (docs/custom-providers.md).
Credentials are encrypted and never shown again.`,
	})
	cmd.AddCommand(s.newIntegrationsSet(), s.newIntegrationsPreview(), s.newIntegrationsList(), s.newIntegrationsShow(), s.newIntegrationsDelete())
	return cmd
}

func (s *session) printIntegrations(project string, integrations ...client.Integration) error {
	t := table{
		head: []string{"PROVIDER", "SIGNING SECRETS", "OPTIONS", "WEBHOOK RECEIVER"},
		none: "No integrations: make one with authsync integrations set " + project + " PROVIDER.",
	}
	for _, i := range integrations {
		t.add(i.Provider, signing(i), orDash(shortOptions(i.Options)), i.Config.WebhookReceiver)
	}
	return s.print(t)
}

// shortOptions are the options as a table has them: of a definition only that there is one.
func shortOptions(options json.RawMessage) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(options, &all) == nil && len(all["definition"]) > 0 {
		all["definition"] = json.RawMessage(`"…"`)
		if text, err := json.Marshal(all); err == nil {
			options = text
		}
	}
	return strings.Trim(string(options), "{} \n")
}

// signing tells in a word whether deliveries of an integration can be verified.
func signing(i client.Integration) string {
	switch secret := i.Credentials[signingSecret]; {
	case i.Fault != "":
		return "unusable: " + i.Fault
	case secret.Set:
		return strconv.Itoa(max(secret.Count, 1))
	case i.Credentials["webhook_authorization"].Set:
		return "authorization"
	case definitionOf(i).Signature.KeySetURL != "", custom.PresetDefinition(i.Provider).Signature.KeySetURL != "":
		return "public keys"
	case i.Pull != nil:
		return "none (events are pulled)"
	default:
		return "none yet"
	}
}

// integrationPath is the integration's path in the API. The provider's name is
// checked here, so that a slip costs no call.
func integrationPath(project, providerName string) (path, name string, err error) {
	name, err = provider.ParseName(providerName)
	if err != nil {
		return "", "", usageError{err}
	}
	return "/projects/" + url.PathEscape(project) + "/integrations/" + name, name, nil
}

// given is the credentials and options of a call of integrations set.
type given struct {
	all, signing, secretKey source
	options                 []string
	generate, replace       bool
	// definition is the file of a provider of the customer's own.
	definition string
	// add keeps the secrets that are stored valid, dropOld drops all of them but the newest.
	add, dropOld bool
	// adoptAccount takes credentials of another account.
	adoptAccount bool

	oneKey
}

// definitionOf is the definition of an integration; empty if it has none.
func definitionOf(i client.Integration) (d custom.Definition) {
	var options provider.Options
	if json.Unmarshal(i.Options, &options) == nil && len(options.Definition) > 0 {
		_ = json.Unmarshal(options.Definition, &d) // one that cannot be read is a fault of the integration, which is shown
	}
	return d
}

// printDefinition shows what a definition mirrors.
func (s *session) printDefinition(i client.Integration) error {
	d := definitionOf(i)
	if d.Signature.Scheme == "" {
		return nil
	}
	if err := s.printf("\nRequests are verified by the scheme %s. To see what is stored of one: authsync integrations preview\n\n", printable(d.Signature.Scheme)); err != nil {
		return err
	}
	t := table{head: []string{"EVENT TYPE", "MEANS"}}
	for _, name := range slices.Sorted(maps.Keys(d.Types)) {
		t.add(name, d.Types[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Ignore)) {
		t.add(name, "ignored: "+d.Ignore[name])
	}
	return s.print(t)
}

func (s *session) newIntegrationsList() *cobra.Command {
	return &cobra.Command{
		Use:     "list PROJECT",
		Short:   "List the providers of a project",
		Example: "  authsync integrations list demo",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			integrations, err := c.Integrations(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(integrations)
			}
			if err := s.printIntegrations(args[0], integrations...); err != nil {
				return err
			}
			return s.noteRejected(cmd.Context(), c, args[0])
		},
	}
}

func (s *session) newIntegrationsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "get PROJECT PROVIDER",
		Short:   "Show one provider of a project, with its webhook URL",
		Example: "  authsync integrations get demo clerk",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, _, err := integrationPath(args[0], args[1])
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			var i client.Integration
			if err := c.Do(cmd.Context(), http.MethodGet, path, nil, &i); err != nil {
				return err
			}
			if s.json {
				return s.printJSON(i)
			}
			if err := s.printIntegrations(args[0], i); err != nil {
				return err
			}
			if err := s.printPull(i.Pull); err != nil {
				return err
			}
			if err := s.printDefinition(i); err != nil {
				return err
			}
			if err := s.printWebhook(args[0], i); err != nil {
				return err
			}
			if err := s.printSecretUses(i.Secrets); err != nil {
				return err
			}
			return s.noteRejected(cmd.Context(), c, args[0])
		},
	}
}

func (s *session) newIntegrationsDelete() *cobra.Command {
	var yes, keep bool
	cmd := &cobra.Command{
		Use:   "delete PROJECT PROVIDER",
		Short: "Delete a provider and its credentials; rows stay",
		Long: `Deletes a provider and its credentials: its webhooks are rejected from then on.
The mirrored rows stay. A webhook that authsync created at the provider is removed
there first, unless --keep-webhook is given; one that was there before stays.`,
		Example: "  authsync integrations delete shop auth0",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, name, err := integrationPath(args[0], args[1])
			if err != nil {
				return err
			}
			err = s.confirm(yes, "Webhooks of "+provider.Title(name)+" for project "+args[0]+" will be rejected from now on, and the credentials are gone")
			if err != nil {
				return err
			}
			if keep {
				path += "?keep_webhook=true"
			}
			return s.remove(cmd.Context(), path, "Removed "+name+" from project "+args[0]+".")
		},
	}
	yesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&keep, "keep-webhook", false, "leave the webhook at the provider that authsync created")
	return cmd
}
