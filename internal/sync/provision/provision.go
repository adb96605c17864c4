// Package provision sets up the webhook of an integration at its provider, so that nobody has to copy a
// URL and a secret between two dashboards. A person asks for it by option provision; the job
// provision_webhook, of which there is one per integration, does it and goes on where it or another
// process stopped:
//
//	PUT integration ──▶ pending ──▶ permissions ──▶ create, adopt or change ──▶ testing ──▶ ready
//	                       ▲            │                    │                    │          │ compared
//	                       │            ▼                    ▼                    ▼          ▼ every 6 hours
//	                       └─ hourly ── blocked: a person has to act ◀────────────┘       differences
//
// No transaction is open while the provider is asked. What a call has changed and nobody noted, because
// the process died, is found by the next one: the provider lets no two webhooks have our key.
//
// A lease keeps whoever deletes the integration and the job from changing the webhook at the same time.
package provision

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/publicurl"
)

// Config configures Webhooks; all fields but Configured, Now, Log, Retry and the times are required.
type Config struct {
	Pool *pgxpool.Pool // the control database
	// Credentials returns the credentials and options of an integration; see project.Store.
	Credentials func(ctx context.Context, projectID uuid.UUID, providerName string) (provider.Credentials, provider.Options, error)
	// AddSecret stores a signing secret that the provider made, unless it is the newest that is stored.
	AddSecret func(ctx context.Context, projectID uuid.UUID, providerName string, secret provider.Secret) error
	// Deps are those of the calls of providers' APIs.
	Deps userapi.Deps
	// Base is the base of our URLs as providers see them, Configured whether an operator chose it: only
	// then is it a reason to change webhooks that go elsewhere.
	Base       string
	Configured bool
	// Path returns the path of an integration's receiver.
	Path func(providerName string, projectID uuid.UUID) string
	Log  *slog.Logger
	// Retry replaces the pause before another attempt, for tests; nil means no change.
	Retry func(time.Duration) time.Duration
	// TestTime is how long a test event may take to arrive; 0 means 2 minutes.
	TestTime time.Duration
	Now      func() time.Time // nil means time.Now
}

// Webhooks are the webhooks that authsync sets up. It is safe for concurrent use.
type Webhooks struct {
	config Config
	store  store

	mu       sync.Mutex
	opened   map[string]account
	compared map[string]comparison
	diverted map[integration]string
}

// integration is a provider of a project.
type integration struct {
	projectID uuid.UUID
	provider  string
}

// testTime is the default of Config.TestTime. A provider was seen to begin 22 seconds after it was
// asked, and to go on for seven.
const testTime = 2 * time.Minute

// New returns Webhooks.
func New(c Config) *Webhooks {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Retry == nil {
		c.Retry = func(pause time.Duration) time.Duration { return pause }
	}
	if c.TestTime == 0 {
		c.TestTime = testTime
	}
	return &Webhooks{config: c, store: store{c.Pool}, opened: map[string]account{}, compared: map[string]comparison{}, diverted: map[integration]string{}}
}

// Divert has the webhook of an integration go to another URL than that of its receiver, which leads there: that of a relay. It is
// so in this process alone, until it ends.
func (w *Webhooks) Divert(projectID uuid.UUID, providerName, url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diverted[integration{projectID, providerName}] = url
}

// url is where the webhook of an integration goes.
func (w *Webhooks) url(projectID uuid.UUID, providerName string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if url, is := w.diverted[integration{projectID, providerName}]; is {
		return url
	}
	return strings.TrimRight(w.config.Base, "/") + w.config.Path(providerName, projectID)
}

// CheckBase returns a fault.Invalid if the provider of these options could not reach this server.
func (w *Webhooks) CheckBase(projectID uuid.UUID, providerName string, o provider.Options) error {
	return publicurl.CheckReachable(w.url(projectID, providerName), provider.Title(providerName), o.BaseURL)
}

// account is an opened provider account; it keeps an access token, which costs a request and, at
// Auth0, money.
type account struct {
	userapi.Webhooks

	digest  [sha256.Size]byte
	options provider.Options
}

// maxOpened limits how many accounts are kept.
const maxOpened = 1000

// open opens the account of an integration. Errors: project.ErrNoIntegration, fault.Unsupported.
func (w *Webhooks) open(ctx context.Context, projectID uuid.UUID, name string) (account, error) {
	credentials, options, err := w.config.Credentials(ctx, projectID, name)
	if err != nil {
		return account{}, err
	}
	kind, err := registry.Lookup(name)
	if err != nil {
		return account{}, fault.New(fault.Unsupported, err.Error())
	}
	provisioner, can := kind.(userapi.Provisioner)
	if !can {
		return account{}, fault.Newf(fault.Unsupported, "authsync cannot set up the webhook of %s by itself", provider.Title(name))
	}
	text, err := json.Marshal([]any{credentials, options})
	if err != nil {
		return account{}, fmt.Errorf("digest credentials: %w", err)
	}
	digest, key := sha256.Sum256(text), projectID.String()+"/"+name
	w.mu.Lock()
	defer w.mu.Unlock()
	if kept, known := w.opened[key]; known && kept.digest == digest {
		return kept, nil
	}
	webhooks, err := provisioner.NewWebhooks(credentials, options, w.config.Deps)
	if err != nil {
		return account{}, fault.Newf(fault.Unsupported, "the webhook cannot be set up: %v", err)
	}
	if len(w.opened) >= maxOpened {
		clear(w.opened)
	}
	opened := account{Webhooks: webhooks, digest: digest, options: options}
	w.opened[key] = opened
	return opened, nil
}

// want is what the webhook should be.
func (w *Webhooks) want(projectID uuid.UUID, r *row) userapi.WantedWebhook {
	want := userapi.WantedWebhook{
		Key: "authsync " + projectID.String(), Made: r.IsMade,
		URL: w.url(projectID, r.Provider),
	}
	if r.WebhookID != nil {
		want.ID = *r.WebhookID
	}
	return want
}
