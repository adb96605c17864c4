package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

const (
	// provisionPoll is how often the command looks how far a webhook is, provisionTime for how long.
	provisionPoll = 500 * time.Millisecond
	provisionTime = 3 * time.Minute
)

// oneKey is what integrations set is given for a webhook that authsync sets up.
type oneKey struct {
	provision, noWait bool
	domain, clientID  string
	clientSecret      source
}

func (k *oneKey) flags(f *pflag.FlagSet) {
	f.BoolVar(&k.provision, "provision", false, "set up the webhook at the provider, and wait until its test event has arrived")
	f.BoolVar(&k.noWait, "no-wait", false, "with --provision: do not wait; integrations get shows how far it is")
	f.StringVar(&k.domain, "domain", "", "Auth0: the tenant's domain, such as shop.eu.auth0.com")
	f.StringVar(&k.clientID, "client-id", "", "Auth0: the client id of an application that may use the Management API")
	f.StringVar(&k.clientSecret.file, "client-secret-file", "", "file with that application's client secret; - is standard input")
	f.StringVar(&k.clientSecret.env, "client-secret-env", "", "environment variable with the same")
}

// hasCredentials reports whether credentials of the provider's API are given.
func (k *oneKey) hasCredentials() bool {
	return k.domain != "" || k.clientID != "" || k.clientSecret.given()
}

// readOneKey adds what was given to the credentials.
func (s *session) readOneKey(k oneKey, credentials map[string]any) error {
	if k.domain != "" {
		credentials["domain"] = k.domain
	}
	if k.clientID != "" {
		credentials["client_id"] = k.clientID
	}
	switch {
	case k.clientSecret.given():
		text, err := s.read(k.clientSecret)
		if err != nil {
			return err
		}
		credentials["client_secret"] = text
	case k.clientID != "":
		secret, err := s.ask("Client secret of the application (empty: leave as it is): ")
		if err != nil {
			return err
		}
		if secret != "" {
			credentials["client_secret"] = secret
		}
	}
	return nil
}

// stepWords name the steps for a person.
func stepWords(name string) string {
	switch name {
	case "permissions":
		return "permissions"
	case "webhook":
		return "webhook"
	case "test_sent":
		return "test event sent"
	case "test_arrived":
		return "test event arrived"
	default:
		return printable(name)
	}
}

// stepMark is what stands before a step.
func (s *session) stepMark(state string) string {
	switch state {
	case "done":
		return s.styled(green, "✓")
	case "failed":
		return s.styled(red, "✗")
	default:
		return s.styled(dim, "·")
	}
}

func (s *session) printStep(step client.ProvisionStep) error {
	line := s.stepMark(step.State) + " " + stepWords(step.Name)
	if step.Detail != "" {
		line += ": " + printable(step.Detail)
	}
	return s.printf("%s\n", line)
}

// followProvision waits until a webhook is ready, and prints the steps as they are done. It returns the
// integration as it is then. The error is about one that is not ready.
func (s *session) followProvision(ctx context.Context, c *client.Client, path string, i client.Integration) (client.Integration, error) {
	ticker := time.NewTicker(provisionPoll)
	defer ticker.Stop()
	printed, begun := 0, s.Now()
	project, name, _ := strings.Cut(strings.TrimPrefix(path, "/projects/"), "/integrations/")
	for {
		w := i.Config.Webhook
		if w == nil {
			return i, nil
		}
		for ; !s.json && printed < len(w.Steps) && w.Steps[printed].State != "waiting"; printed++ {
			if err := s.printStep(w.Steps[printed]); err != nil {
				return i, err
			}
		}
		switch {
		case w.State == "ready":
			return i, nil
		case w.State == "blocked":
			return i, fmt.Errorf("the webhook of %s is not set up: %s. The integration is stored; when that is resolved: authsync integrations set %s %s --provision",
				provider.Title(name), printable(provisionProblem(w)), project, name)
		case s.Now().Sub(begun) > provisionTime:
			return i, fmt.Errorf("the webhook of %s is not ready yet%s; it goes on by itself: authsync integrations get %s %s",
				provider.Title(name), blockedReason(w), project, name)
		}
		select {
		case <-ctx.Done():
			return i, context.Cause(ctx)
		case <-ticker.C:
		}
		if err := c.Do(ctx, http.MethodGet, path+"?compare=false", nil, &i); err != nil {
			return i, err
		}
	}
}

// provisioned shows how a webhook is set up, and the integration at the end, also if it is not ready.
func (s *session) provisioned(ctx context.Context, c *client.Client, path string, set integrationSet) error {
	var err error
	if !s.json {
		if err := s.printf("Set. %s sends to:\n  %s\n", provider.Title(set.Provider), set.Config.WebhookReceiver); err != nil {
			return err
		}
		if err := s.printSecret(set.Secret); err != nil {
			return err
		}
	}
	backfill := set.Config.Backfill
	if set.Integration, err = s.followProvision(ctx, c, path, set.Integration); s.json {
		return errors.Join(s.printJSON(set), err)
	}
	if err != nil {
		return err
	}
	project, name, _ := strings.Cut(strings.TrimPrefix(path, "/projects/"), "/integrations/")
	return s.printBackfillStart(project, name, backfill)
}

func provisionProblem(w *client.ProvisionedWebhook) string {
	problem := orNull(w.Problem)
	if len(w.MissingPermissions) > 0 {
		problem += ": " + strings.Join(w.MissingPermissions, ", ")
	}
	return problem
}

func blockedReason(w *client.ProvisionedWebhook) string {
	if w.Problem == nil {
		return ""
	}
	return " (" + printable(*w.Problem) + ")"
}

// printWebhook shows a webhook that authsync sets up, and what differs at the provider.
func (s *session) printWebhook(project string, i client.Integration) error {
	w := i.Config.Webhook
	if w == nil {
		return nil
	}
	if err := s.printf("\nWebhook set up by authsync: %s\n", printable(w.State)); err != nil {
		return err
	}
	for _, step := range w.Steps {
		if err := s.printStep(step); err != nil {
			return err
		}
	}
	for _, one := range w.Differences {
		if err := s.printf("%s %s\n", s.styled(yellow, "!"), printable(one)); err != nil {
			return err
		}
	}
	switch {
	case w.ComparisonProblem != nil:
		return s.printf("What the provider has now is %s\n", printable(*w.ComparisonProblem))
	case len(w.Differences) > 0:
		return s.printf("To repair that: authsync integrations set %s %s --provision\n", project, i.Provider)
	case w.ComparedAt != nil:
		return s.printf("The provider has it as it should be.\n")
	default:
		return nil
	}
}
