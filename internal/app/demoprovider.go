package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// DemoProviderFile is the name, in the data directory, of the file with the demo provider's users
// and address. If it exists, authsync dev starts the demo provider.
const DemoProviderFile = "demo-provider.json"

// ReadDemoProvider reads the state of a data directory's demo provider; nil if there is none.
func ReadDemoProvider(dir string) (*demoprovider.State, error) {
	text, err := os.ReadFile(filepath.Join(dir, DemoProviderFile)) //nolint:gosec // within the data directory that the operator chose
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is no error
	}
	var s demoprovider.State
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the demo provider's users: %w: remove %s to begin with new ones", err, filepath.Join(dir, DemoProviderFile))
	}
	return &s, nil
}

// startDemoProvider serves stand-ins for Clerk, Auth0 and Better Auth on this machine only, gives
// the demo project the credentials to read their users, and starts the backfills.
func (d *Dev) startDemoProvider(ctx context.Context, wanted bool) (stopFunc, error) {
	before, err := ReadDemoProvider(d.Dir)
	if err != nil || before == nil && !wanted {
		return nil, err
	}
	listener, err := d.listenAsBefore(ctx, before)
	if err != nil {
		return nil, err
	}
	demo := demoprovider.NewDemo(before, time.Now)
	d.DemoProvider = "http://" + listener.Addr().String()
	bases := demo.At(d.DemoProvider)
	demo.Changed = func() error {
		text, err := json.Marshal(demo.State(d.DemoProvider))
		if err != nil {
			return err
		}
		return config.WriteFile(filepath.Join(d.Dir, DemoProviderFile), text)
	}
	to := client.New(d.Connection.URL, "")
	demo.Send = func(ctx context.Context, name string, s provider.Sample, lose bool) ([]byte, error) {
		return d.sendDemoWebhook(ctx, to, name, s, lose)
	}
	if err := errors.Join(demo.Changed(), d.setDemoStreams(ctx, demo, to)); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	serving := serveHTTP(listener, demo, d.log, make(chan error, 1))
	stop := func(ctx context.Context) error {
		to.Close()
		demo.Auth0.Events.End()
		return serving(ctx)
	}
	d.progress("the demo provider answers at " + d.DemoProvider)
	if err := d.connectDemoProvider(ctx, bases); err != nil {
		return nil, errors.Join(err, stop(ctx))
	}
	return stop, nil
}

// listenAsBefore listens on the previous run's address, so that what was stored about it stays
// valid, or on another one if it is taken.
func (d *Dev) listenAsBefore(ctx context.Context, before *demoprovider.State) (net.Listener, error) {
	if before != nil {
		if u, err := url.Parse(before.URL); err == nil && u.Hostname() == "127.0.0.1" {
			if listener, err := Listen(ctx, u.Host); err == nil {
				return listener, nil
			}
		}
	}
	return Listen(ctx, "127.0.0.1:0")
}

// sendDemoWebhook signs as the provider would, and posts to the demo project's receiver.
func (d *Dev) sendDemoWebhook(ctx context.Context, to *client.Client, name string, s provider.Sample, lose bool) ([]byte, error) {
	kind, err := registry.Lookup(name)
	if err != nil {
		return nil, err
	}
	credentials, options, err := d.App.Store.Credentials(ctx, d.Demo.ID, name)
	if err != nil {
		return nil, err
	}
	header, body, err := kind.Sign(s, credentials, options, time.Now())
	if err != nil || lose {
		return body, err
	}
	return body, to.Deliver(ctx, name, d.Demo.ID.String(), header, body)
}

// setDemoStreams creates the event stream of the stand-in for Auth0.
func (d *Dev) setDemoStreams(ctx context.Context, demo *demoprovider.Demo, to *client.Client) error {
	credentials, _, err := d.App.Store.Credentials(ctx, d.Demo.ID, provider.Auth0)
	if err != nil {
		return err
	}
	token := ""
	if len(credentials.WebhookSigningSecret) > 0 {
		token = string(credentials.WebhookSigningSecret[0])
	}
	demo.Auth0.Streams.To = d.Connection.URL
	demo.Auth0.Streams.Streams = []demoprovider.Auth0Stream{{
		ID: demoprovider.StreamID, Name: "authsync", Endpoint: to.WebhookURL(provider.Auth0, d.Demo.ID.String()), Token: token,
	}}
	return nil
}

// connectDemoProvider stores the credentials of the stand-ins, and starts a backfill of each whose
// users have not been read.
func (d *Dev) connectDemoProvider(ctx context.Context, bases map[string]string) error {
	for name, given := range map[string]map[string]string{
		provider.Clerk:      {"secret_key": demoprovider.ClerkKey},
		provider.Auth0:      {"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret},
		provider.BetterAuth: {"session_token": demoprovider.BetterAuthToken},
	} {
		credentials := map[string]json.RawMessage{}
		for field, value := range given {
			credentials[field] = json.RawMessage(`"` + value + `"`)
		}
		stored, err := d.App.Store.FindIntegration(ctx, d.Demo.ID, name)
		if err != nil {
			return err
		}
		stored.Options.BaseURL = bases[name]
		options, err := json.Marshal(stored.Options)
		if err != nil {
			return err
		}
		if _, err := d.App.Store.PutIntegration(ctx, d.Demo.ID, name, credentials, options, project.AdoptAccount()); err != nil {
			return fmt.Errorf("connect %s of project %s to the demo provider: %w", name, DemoProject, err)
		}
		if err := d.backfillDemo(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dev) backfillDemo(ctx context.Context, name string) error {
	_, err := d.App.backfills.Latest(ctx, d.Demo.ID, name, provider.KindBackfill)
	if !errors.Is(err, syncrun.ErrNoRun) {
		return err
	}
	_, err = d.App.backfills.Start(ctx, d.Demo.ID, name, syncrun.Order{Kind: provider.KindBackfill})
	var running *syncrun.RunningError
	switch {
	case errors.As(err, &running), errors.Is(err, project.ErrNoIntegration):
		return nil
	case fault.Is(err, fault.Unsupported):
		return fmt.Errorf("read the users of the demo provider: %w", err)
	}
	return err
}
