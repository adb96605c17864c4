package cli

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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

// connect stores the provider's key, which starts reading its users, and says how far that is; then its webhook is set up at Clerk,
// to go to the public URL, if one is configured, and otherwise to an inbox of the relay, which is open until ctx ends. If that
// fails, it says how to go on by hand.
func (f *devFlags) connect(ctx context.Context, s *session, d *app.Dev, in config.Config) error {
	c := client.New(d.Connection.URL, d.Connection.APIKey)
	defer c.Close()
	to := c.WebhookURL(provider.Clerk, d.Demo.ID.String())
	if in.PublicURL != "" {
		return f.connectPublic(ctx, s, c, in.DataDir, to)
	}
	token, err := f.inbox(ctx, c, in.DataDir, to)
	if err != nil || token == "" {
		return err
	}
	d.App.DivertWebhook(d.Demo.ID, provider.Clerk, svixrelay.InboxURL(token))
	open := make(chan struct{})
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return s.listen(ctx, f.relay, token, to, sync.OnceFunc(func() { close(open) })) })
	both.Go(func() error {
		if err := f.read(ctx, s, c); err != nil {
			return err
		}
		select {
		case <-open: // or the test event would be lost
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		done, err := f.setUp(ctx, s, c)
		if err != nil || done {
			return err
		}
		return s.byHand(token)
	})
	return both.Wait()
}

// connectPublic is connect with a public URL. By hand webhooks come by the relay.
func (f *devFlags) connectPublic(ctx context.Context, s *session, c *client.Client, dataDir, to string) error {
	if f.provider == "" {
		return nil
	}
	if err := f.read(ctx, s, c); err != nil {
		return err
	}
	done, err := f.setUp(ctx, s, c)
	if err != nil || done {
		return err
	}
	token, err := relayToken(dataDir, to, false)
	if err == nil {
		err = s.byHand(token)
	}
	if err != nil {
		return err
	}
	return s.listen(ctx, f.relay, token, to, func() {})
}

// inbox is the token of the inbox to which an earlier start had Clerk send; otherwise, if a provider is to be connected, that of the
// last authsync listen, or a new one.
func (f *devFlags) inbox(ctx context.Context, c *client.Client, dataDir, to string) (token string, err error) {
	var i client.Integration
	err = c.Do(ctx, http.MethodGet, clerkPath+"?compare=false", nil, &i)
	switch {
	case client.Status(err) == http.StatusNotFound:
	case err != nil:
		return "", err
	case i.Config.Webhook != nil && i.Config.Webhook.URL != nil && (f.provider != "" || i.Config.Webhook.State != "unmanaged"):
		if token, is := svixrelay.TokenOf(*i.Config.Webhook.URL); is {
			return token, nil
		}
	}
	if f.provider == "" {
		return "", nil
	}
	return relayToken(dataDir, to, false)
}

// byHand says what to do where the webhook is not set up.
func (s *session) byHand(token string) error {
	return s.notice("For what changes from now on, add this endpoint at Clerk (Configure, Webhooks, Add Endpoint):\n\n  %s\n\n"+
		"and store its signing secret:\n\n  %s integrations set %s clerk --add-secret --webhook-signing-secret-file -\n",
		svixrelay.InboxURL(token), quoted(s.Program), app.DemoProject)
}

const clerkPath = "/projects/" + app.DemoProject + "/integrations/" + provider.Clerk

// read stores the key, and waits until Clerk's users are read.
func (f *devFlags) read(ctx context.Context, s *session, c *client.Client) error {
	if f.provider == "" { // as an earlier start did
		return nil
	}
	given := map[string]any{"provision": nil}
	if f.baseURL != "" {
		given["base_url"] = f.baseURL
	}
	options, err := withOptions(ctx, c, clerkPath, given)
	if err != nil {
		return err
	}
	var i client.Integration
	in := map[string]any{"credentials": map[string]any{"secret_key": f.key}, "options": options}
	if err := c.Do(ctx, http.MethodPut, clerkPath, in, &i); err != nil {
		return err
	}
	if err := s.notice("Clerk is connected: its users are read into the mirror now."); err != nil {
		return err
	}
	return f.waitRead(ctx, s, c)
}

// setUp has the webhook set up at Clerk, and says that it is done, or why not.
func (f *devFlags) setUp(ctx context.Context, s *session, c *client.Client) (done bool, err error) {
	var i client.Integration
	options, err := withOptions(ctx, c, clerkPath, map[string]any{"provision": true})
	if err != nil {
		return false, err
	}
	switch err = c.Do(ctx, http.MethodPut, clerkPath, map[string]any{"options": options}, &i); client.Status(err) {
	case http.StatusUnprocessableEntity, http.StatusBadRequest: // for example, because Clerk cannot reach the URL
		return false, s.notice("authsync: the webhook is not set up by itself: %v", describe(err))
	}
	if err != nil {
		return false, err
	}
	i, err = s.followProvision(ctx, c, clerkPath, i)
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case err != nil:
		return false, s.notice("authsync: %v", describe(err))
	case i.Config.Webhook == nil || i.Config.Webhook.URL == nil:
		return true, nil
	default:
		return true, s.notice("What changes from now on comes to %s: the endpoint is set up at Clerk, and its test event has arrived.", *i.Config.Webhook.URL)
	}
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
