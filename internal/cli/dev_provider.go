package cli

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/svixrelay"
)

// devFlags are those of authsync dev.
type devFlags struct {
	demoProvider bool
	// provider is a real one to connect, key its API key, baseURL where its API is instead of at its
	// own address, relay the relay of its webhooks.
	provider, key, baseURL, relay string
}

// check refuses flags that contradict each other, before anything is started.
func (f *devFlags) check() error {
	if f.provider == "" {
		if f.key != "" || f.baseURL != "" {
			return usagef("--key is that of a provider: give --provider clerk with it")
		}
		return nil
	}
	name, err := provider.ParseName(f.provider)
	switch {
	case err != nil:
		return usageError{err}
	case name != provider.Clerk:
		return usagef("--provider takes clerk; for the others run authsync dev, and then authsync integrations set demo %s", f.provider)
	case f.demoProvider:
		return usagef("--demo-provider stands in for Clerk: give it, or --provider")
	case !strings.HasPrefix(f.key, "sk_test_"):
		// Others see the arguments of a process.
		return usagef("--key takes the secret key of a development instance (sk_test_…; Clerk dashboard, Configure, API keys). " +
			"That of a production instance does not belong on a command line: authsync integrations set demo clerk --secret-key-file -")
	}
	return nil
}

// connect stores the provider's key, which starts reading its users, and says how far that is; then its webhooks come until ctx
// ends: to the public URL, if one is configured, where authsync sets them up by itself; otherwise, or if that fails, by the relay.
func (f *devFlags) connect(ctx context.Context, s *session, d *app.Dev, in config.Config) error {
	c := client.New(d.Connection.URL, d.Connection.APIKey)
	defer c.Close()
	i, provisions, err := f.put(ctx, s, c, in.PublicURL != "")
	if err != nil {
		return err
	}
	to := c.WebhookURL(provider.Clerk, d.Demo.ID.String())
	token, err := relayToken(in.DataDir, to, false)
	if err != nil {
		return err
	}
	if err := s.notice("Clerk is connected: its users are read into the mirror now."); err != nil {
		return err
	}
	if err := f.waitRead(ctx, s, c); err != nil {
		return err
	}
	if provisions {
		if _, err = s.followProvision(ctx, c, clerkPath, i); err == nil {
			return s.notice("What changes from now on comes to %s: the endpoint is set up at Clerk, and its test event has arrived.", i.Config.WebhookReceiver)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.notice("authsync: %v", words(err)); err != nil {
			return err
		}
	}
	err = s.notice("For what changes from now on, add this endpoint at Clerk (Configure, Webhooks, Add Endpoint):\n\n  %s\n\n"+
		"and store its signing secret:\n\n  %s integrations set %s clerk --add-secret --webhook-signing-secret-file -\n",
		svixrelay.InboxURL(token), quoted(s.Program), app.DemoProject)
	if err != nil {
		return err
	}
	return s.listen(ctx, f.relay, token, to)
}

const clerkPath = "/projects/" + app.DemoProject + "/integrations/" + provider.Clerk

// put stores the key. It asks for the webhook to be set up if there is a public URL, and does without if that is refused, for
// example because Clerk cannot reach the URL.
func (f *devFlags) put(ctx context.Context, s *session, c *client.Client, isPublic bool) (i client.Integration, provisions bool, err error) {
	given := map[string]any{"provision": nil}
	if f.baseURL != "" {
		given["base_url"] = f.baseURL
	}
	if isPublic {
		given["provision"] = true
	}
	options, err := withOptions(ctx, c, clerkPath, given)
	if err != nil {
		return i, false, err
	}
	in := map[string]any{"credentials": map[string]any{"secret_key": f.key}, "options": options}
	err = c.Do(ctx, http.MethodPut, clerkPath, in, &i)
	if !isPublic || client.Status(err) != http.StatusUnprocessableEntity && client.Status(err) != http.StatusBadRequest {
		return i, isPublic, err
	}
	if err := s.notice("authsync: the webhook is not set up by itself: %v", words(err)); err != nil {
		return i, false, err
	}
	delete(options, "provision")
	return i, false, c.Do(ctx, http.MethodPut, clerkPath, in, &i)
}

// waitRead waits until the backfill has ended and says what it has read.
func (f *devFlags) waitRead(ctx context.Context, s *session, c *client.Client) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		run, err := c.LatestRun(ctx, app.DemoProject, provider.Clerk, provider.KindBackfill)
		switch {
		case client.Status(err) == http.StatusNotFound: // it was read before, or none was needed
			return nil
		case err != nil:
			return err
		case run.FinishedAt != nil && run.Error != nil:
			return s.notice("Reading Clerk's users failed: %s", printable(*run.Error))
		case run.FinishedAt != nil:
			return s.notice("Read: %s of Clerk %s in the mirror. To see them: %s users list %s", plural.Of(run.Read, "record"), plural.Word(run.Read, "is", "are"), quoted(s.Program), app.DemoProject)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
