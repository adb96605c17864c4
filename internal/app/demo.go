package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// DemoProject is the name of the dev server's project.
const DemoProject = "demo"

// SecretsFile is the name, in the data directory, of the file with the demo project's signing
// secrets, as shell variables DEMO_AUTH0_SECRET, DEMO_CLERK_SECRET and DEMO_BETTER_AUTH_SECRET. The
// API never returns a secret; this file allows trying requests with curl.
const SecretsFile = "demo-secrets.env" //nolint:gosec // the name of a file

// settle creates the API key and the demo project if they are missing, and writes the files about
// them.
func (d *Dev) settle(ctx context.Context) error {
	before, err := config.ReadConnection(d.Dir)
	if err != nil && !errors.Is(err, config.ErrNoConnection) {
		return err
	}
	key, err := d.apiKey(ctx, before.APIKey)
	if err != nil {
		return err
	}
	d.Demo, err = d.App.Store.FindProject(ctx, DemoProject)
	if errors.Is(err, project.ErrNoProject) {
		d.progress("making project " + DemoProject)
		err = d.record(ctx, "project.create", func(r *audit.Result) (err error) {
			d.Demo, err = d.App.Store.CreateProject(ctx, DemoProject, "", false)
			if err == nil {
				r.ProjectID, r.ProjectName = &d.Demo.ID, DemoProject
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("project %s: %w", DemoProject, err)
	}
	demo := d.Demo
	d.terminal.demo.Store(&demo)
	secrets, err := d.demoSecrets(ctx)
	if err != nil {
		return err
	}
	demoURL, err := d.App.Store.ConnectionURL(ctx, d.Demo.ID)
	if err != nil {
		return err
	}
	d.Connection = config.Connection{
		DatabaseURL:     config.Secret(d.server.URL(devDatabase)),
		DemoDatabaseURL: config.Secret(demoURL),
		URL:             d.App.URL(),
		APIKey:          key,
		DemoProjectID:   d.Demo.ID.String(),
	}
	if err := config.WriteShellFile(filepath.Join(d.Dir, SecretsFile), secrets); err != nil {
		return err
	}
	return config.WriteConnection(d.Dir, d.Connection)
}

// apiKey reuses the previous run's key if it is still valid.
func (d *Dev) apiKey(ctx context.Context, before config.Secret) (config.Secret, error) {
	_, err := d.App.Store.Authenticate(ctx, before.Reveal())
	if err == nil {
		return before, nil
	}
	if !errors.Is(err, project.ErrNoKey) {
		return "", err
	}
	var key project.Key
	var secret string
	err = d.record(ctx, "key.create", func(r *audit.Result) (err error) {
		key, secret, err = d.App.Store.CreateKey(ctx, project.KeyInput{Name: devKeyName, Test: true})
		if err == nil {
			r.ObjectID = key.ID.String()
		}
		return err
	})
	return config.Secret(secret), err
}

// record does what nobody asked for by a call, and has it in the audit log.
func (d *Dev) record(ctx context.Context, action string, act func(*audit.Result) error) error {
	return d.App.Audit.Do(ctx, audit.Origin{Actor: audit.System, Via: audit.ViaServer}, audit.Action{Name: action}, act)
}

// demoSecrets creates missing integrations and returns the signing secrets of all.
func (d *Dev) demoSecrets(ctx context.Context) ([][2]string, error) {
	var secrets [][2]string
	for _, name := range provider.Names() {
		_, err := d.App.Store.FindIntegration(ctx, d.Demo.ID, name)
		if errors.Is(err, project.ErrNoIntegration) {
			given := map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + string(provider.NewSigningSecret(name)) + `"`)}
			err = d.record(ctx, "integration.update", func(r *audit.Result) error {
				r.ProjectID, r.ProjectName, r.ObjectID = &d.Demo.ID, DemoProject, name
				_, err := d.App.Store.PutIntegration(ctx, d.Demo.ID, name, given, nil)
				return err
			})
		}
		if err != nil {
			return nil, fmt.Errorf("%s of project %s: %w", name, DemoProject, err)
		}
		credentials, _, err := d.App.Store.Credentials(ctx, d.Demo.ID, name)
		if err != nil {
			return nil, err
		}
		if len(credentials.WebhookSigningSecret) > 0 {
			secrets = append(secrets, [2]string{"DEMO_" + strings.ToUpper(name) + "_SECRET", string(credentials.WebhookSigningSecret[0])})
		}
	}
	return secrets, nil
}

// moveDatabases updates the URLs of projects on the dev server's own PostgreSQL when its port has
// changed.
func (d *Dev) moveDatabases(ctx context.Context, store *project.Store) error {
	before, err := config.ReadConnection(d.Dir)
	if errors.Is(err, config.ErrNoConnection) {
		return nil
	}
	if err != nil {
		return err
	}
	old, err := url.Parse(before.DatabaseURL.Reveal())
	if err != nil {
		return fmt.Errorf("read %s: its DATABASE_URL is no URL: remove the file", filepath.Join(d.Dir, config.ConnectionFile))
	}
	now, err := url.Parse(d.server.URL(devDatabase))
	if err != nil {
		return errors.New("PostgreSQL has no URL that can be read")
	}
	if old.Host == now.Host {
		return nil
	}
	for cursor, more := "", true; more; more = cursor != "" {
		var found []project.Project
		if found, cursor, err = store.ListProjects(ctx, nil, cursor, 100); err != nil {
			return err
		}
		for _, p := range found {
			if err := moveDatabase(ctx, store, p, old.Host, now); err != nil {
				return fmt.Errorf("correct the database URL of project %s: %w", p.Name, err)
			}
		}
	}
	return nil
}

func moveDatabase(ctx context.Context, store *project.Store, p project.Project, oldHost string, now *url.URL) error {
	text, err := store.DatabaseURL(ctx, p.ID)
	if err != nil {
		return err
	}
	u, err := url.Parse(text)
	if err != nil || u.Host != oldHost {
		return nil //nolint:nilerr // not on the dev server's PostgreSQL
	}
	u.Host, u.User = now.Host, now.User
	_, err = store.UpdateProject(ctx, p.ID, project.ProjectChange{DatabaseURL: new(u.String())})
	return err
}
