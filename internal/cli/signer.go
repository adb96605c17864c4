package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

// signer sends events to a project as its provider would. The API never gives
// a signing secret out, so it comes from the control database or from a file.
type signer struct {
	projectID   string
	kind        provider.Provider
	credentials provider.Credentials
	options     provider.Options
	client      *client.Client
}

// sent is an event that the server has taken.
type sent struct {
	EventID string `json:"event_id"`
	Type    string `json:"type"`
	UserID  string `json:"user_id"` // empty unless the record is of a user
	// RecordType and RecordID are what the event is about.
	RecordType string `json:"record_type"`
	RecordID   string `json:"record_id"`
}

// newSigner takes the credentials from the control database.
func (s *session) newSigner(ctx context.Context, control *app.Control, projectName, providerName string) (*signer, error) {
	kind, err := registry.Lookup(providerName)
	if err != nil {
		return nil, usageError{err}
	}
	p, err := control.Store.FindProject(ctx, projectName)
	if err != nil {
		return nil, projectError(projectName, err)
	}
	credentials, options, err := control.Store.Credentials(ctx, p.ID, kind.Name())
	if errors.Is(err, project.ErrNoIntegration) {
		return nil, fmt.Errorf("project %s has no %s: authsync integrations set %s %s", projectName, kind.Name(), projectName, kind.Name())
	}
	if err != nil {
		return nil, err
	}
	url, err := s.serverURL()
	if err != nil {
		return nil, err
	}
	return &signer{
		projectID: p.ID.String(), kind: kind, credentials: credentials, options: options,
		client: client.New(url, ""),
	}, nil
}

// newSignerWith takes the signing secret as it was given.
func (s *session) newSignerWith(ctx context.Context, secret source, projectName, providerName string) (*signer, error) {
	kind, err := registry.Lookup(providerName)
	if err != nil {
		return nil, usageError{err}
	}
	text, err := s.read(secret)
	if err != nil {
		return nil, err
	}
	g := &signer{kind: kind, credentials: provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(pasted.Lines(text)[0])}}}
	if _, err := uuid.Parse(projectName); err == nil { // no key is needed
		g.projectID = projectName
		url, err := s.serverURL()
		if err != nil {
			return nil, err
		}
		g.client = client.New(url, "")
		return g, nil
	}
	if g.client, err = s.client(); err != nil {
		return nil, err
	}
	p, err := g.client.Project(ctx, projectName)
	if err != nil {
		return nil, err
	}
	g.projectID = p.ID
	return g, nil
}

// serverURL is where the server is; sending webhooks takes no API key.
func (s *session) serverURL() (string, error) {
	c, err := s.settings()
	if err != nil {
		return "", err
	}
	if c.URL != "" {
		return c.URL, nil
	}
	dev, err := config.ReadConnection(c.DataDir)
	if errors.Is(err, config.ErrNoConnection) {
		return "", noServer(c, "AUTHSYNC_URL")
	}
	return dev.URL, err
}

// send signs a sample and posts it. It returns once the server has committed it.
func (g *signer) send(ctx context.Context, sample provider.Sample, now time.Time) (sent, error) {
	header, body, err := g.kind.Sign(sample, g.credentials, g.options, now)
	if err != nil {
		return sent{}, err
	}
	if err := g.client.Deliver(ctx, g.kind.Name(), g.projectID, header, body); err != nil {
		return sent{}, err
	}
	return g.read(header, body, now)
}

// read tells how the server will name the event.
func (g *signer) read(header http.Header, body []byte, now time.Time) (sent, error) {
	verifier, err := g.kind.NewVerifier(g.credentials, g.options)
	if err != nil {
		return sent{}, err
	}
	proof, err := verifier.Verify(header, body, now)
	if err != nil {
		return sent{}, fmt.Errorf("verify what was just signed: %w", err)
	}
	kept := map[string]string{}
	for name := range header {
		kept[name] = header.Get(name)
	}
	events := g.kind.Decode(provider.Message{MessageID: proof.MessageID, ReceivedAt: now, Headers: kept, Body: body}, g.options)
	e := &events[0]
	about := e.Record()
	return sent{EventID: e.ID, Type: e.Type, UserID: e.UserID, RecordType: string(about.Type), RecordID: about.ID}, nil
}

func projectError(name string, err error) error {
	if errors.Is(err, project.ErrNoProject) {
		return fmt.Errorf("there is no project %s: authsync projects list shows those there are", name)
	}
	return err
}

// closeControl closes the control database and keeps the first error.
func closeControl(ctx context.Context, control *app.Control, err error) error {
	if closing := control.Close(context.WithoutCancel(ctx)); err == nil {
		return closing
	}
	return err
}
