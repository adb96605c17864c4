// Package custom is the provider that a definition describes: how requests are signed, and jq expressions that find an
// event's type, id, time and the columns of its record. A definition is an option of the integration, given by the tenant, or
// one of the presets, which are files of the same format.
//
//	definition ──check──▶ scheme (verify: in the receiver, no jq)
//	                  └─▶ program (decode: one jq expression per request, in a worker process of package jq)
//
// The receiver verifies and appends only. Decoding happens in the job that applies messages: everything of jq's limits holds
// for it, and a mapping that costs workers again and again is halted for an hour, during which its events fail at once. That no
// worker is to be had is no failure: DecodeContext returns an error, and the job waits.
package custom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Provider is a provider with a definition. Each integration has one of its own, so that a tenant whose mapping is halted
// halts nobody else's. It is safe for concurrent use.
type Provider struct {
	name string

	mu          sync.Mutex
	source      string // of compiled
	compiled    *Compiled
	haltedUntil time.Time
	halted      string
}

// New returns the provider of a name, which is that of a preset or begins with provider.CustomPrefix.
func New(name string) *Provider { return &Provider{name: name} }

// Name returns the name used in the database.
func (p *Provider) Name() string { return p.name }

// text is the definition that options have, or the preset's, which is built in.
func (p *Provider) text(o provider.Options) (source string, builtIn bool, err error) {
	switch {
	case !strings.HasPrefix(p.name, provider.CustomPrefix):
		source, err = Preset(p.name)
		return source, true, err
	case len(o.Definition) == 0:
		return "", false, errors.New("options.definition is missing: it says how the provider signs and what its events hold (docs/custom-providers.md)")
	default:
		return string(o.Definition), false, nil
	}
}

// definition compiles the definition. The latest is kept.
func (p *Provider) definition(o provider.Options) (*Compiled, error) {
	source, builtIn, err := p.text(o)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.compiled != nil && p.source == source {
		return p.compiled, nil
	}
	compiled, err := p.read(source, builtIn, compile)
	if err != nil {
		return nil, err
	}
	p.source, p.compiled, p.haltedUntil = source, compiled, time.Time{}
	return compiled, nil
}

func (p *Provider) read(source string, builtIn bool, with compiler) (*Compiled, error) {
	if builtIn {
		return readFile(p.name+".yaml", []byte(source), with)
	}
	return parse([]byte(source), with)
}

// signature reads what verifying needs of a definition, and compiles nothing.
func (p *Provider) signature(o provider.Options) (*Compiled, error) {
	source, builtIn, err := p.text(o)
	if err != nil {
		return nil, err
	}
	return p.read(source, builtIn, compileSignature)
}

const secretField = "credentials.webhook_signing_secret"

// NewVerifier checks the definition and that the secrets can be those of its scheme.
func (p *Provider) NewVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	v, err := p.newVerifier(c, o, p.definition)
	if err != nil {
		return nil, err
	}
	d, err := p.definition(o) // it has just been compiled
	if err != nil {
		return nil, err
	}
	return v, provider.CheckExclude(o, d.needed())
}

// StoredVerifier implements provider.Stored. The expressions are compiled when the first message is decoded.
func (p *Provider) StoredVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	return p.newVerifier(c, o, p.signature)
}

// Prepare implements provider.Stored: it compiles the definition.
func (p *Provider) Prepare(o provider.Options) error {
	_, err := p.definition(o)
	return err
}

func (p *Provider) newVerifier(
	c provider.Credentials, o provider.Options, definition func(provider.Options) (*Compiled, error),
) (provider.Verifier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := provider.CheckOwner(p.name, c, o); err != nil {
		return nil, err
	}
	if len(o.SignatureFormats) > 0 {
		return nil, errors.New("options.signature_formats is for other providers: the definition says what is signed")
	}
	if err := c.WebhookSigningSecret.Check(secretField); err != nil {
		return nil, err
	}
	d, err := definition(o)
	if err != nil {
		return nil, err
	}
	return d.newVerifier(c.WebhookSigningSecret, o)
}

func (c *Compiled) newVerifier(secrets provider.Secrets, o provider.Options) (provider.Verifier, error) {
	if c.scheme.usesKeySet() && len(secrets) > 0 {
		return nil, fmt.Errorf("%s is not used: the scheme %s verifies by the keys of signature.key_set_url: leave it out", secretField, c.scheme.Scheme)
	}
	scheme, err := c.scheme.at(o.BaseURL)
	if err != nil {
		return nil, err
	}
	v := verifier{scheme: scheme, exclude: payload.NewExclusion(o), listsEvents: strings.TrimSpace(c.Event.Each) == ""}
	for _, name := range c.Secrets {
		v.secrets = append(v.secrets, plainName(name))
	}
	for i, secret := range secrets {
		key, err := c.scheme.key(string(secret))
		if err != nil {
			return nil, fmt.Errorf("secret %d of %s cannot be used: %w", i+1, secretField, err)
		}
		v.keys = append(v.keys, key)
		if c.scheme.Scheme != schemeStandard && c.scheme.Scheme != schemeSvix {
			continue
		}
		webhook, err := standardwebhooks.NewKey(key, i+1)
		if err != nil {
			return nil, fmt.Errorf("secret %d of %s: %w", i+1, secretField, err)
		}
		v.webhook = append(v.webhook, webhook)
	}
	return v, nil
}

// CheckStrength checks the keys as the scheme decodes them. It cannot be called with credentials that NewVerifier refuses.
func (p *Provider) CheckStrength(c provider.Credentials, o provider.Options) error {
	d, err := p.signature(o)
	if err != nil {
		return err
	}
	for _, secret := range c.WebhookSigningSecret {
		key, err := d.scheme.key(string(secret))
		if err != nil {
			return fmt.Errorf("%s cannot be used: %w", secretField, err)
		}
		if d.scheme.Scheme == schemeBasic {
			_, password, _ := strings.Cut(string(key), ":")
			key = []byte(password)
		}
		if err := provider.CheckStrength(secretField, string(secret), key); err != nil {
			return err
		}
	}
	return nil
}

// Decode is DecodeContext for callers that cannot wait: if no worker is to be had, the message is a failed event.
func (p *Provider) Decode(d provider.Message, o provider.Options) []provider.Event {
	events, err := p.DecodeContext(context.Background(), d, o)
	if err != nil {
		return payload.FailedMessage(d, "the mapping could not run: try again")
	}
	return events
}

// haltTime is how long a mapping does not run that has cost jq.MaxKills workers.
const haltTime = time.Hour

// DecodeContext implements provider.ContextDecoder.
func (p *Provider) DecodeContext(ctx context.Context, d provider.Message, o provider.Options) ([]provider.Event, error) {
	d = payload.Without(d, o)
	doc, err := payload.Parse(d.Body)
	if err != nil {
		return payload.FailedMessage(d, err.Error()), nil
	}
	if !doc.IsObject() && !doc.IsArray() {
		return payload.FailedMessage(d, payload.NotObject("the body", doc)), nil
	}
	definition, err := p.definition(o)
	if err != nil { // the integration was deleted, or this program is older than its definition
		return payload.FailedMessage(d, err.Error()), nil
	}
	if why := p.isHalted(definition, time.Now()); why != "" {
		return payload.FailedMessage(d, why), nil
	}
	if payload.IsErased(doc) {
		return []provider.Event{erased(d, 0)}, nil
	}
	events, err := definition.decode(ctx, d, o, doc)
	var run *jq.RunError
	switch {
	case errors.As(err, &run):
		if run.Halt {
			p.halt(definition, run.Detail, time.Now())
		}
		return payload.FailedMessage(d, run.Detail), nil
	case err != nil:
		return nil, err
	}
	if doc.IsArray() { // an expression need not find a type where an erased event was
		place := 0
		for element := range doc.Elements() {
			if payload.IsErased(element) && place < len(events) && events[place].Verdict == provider.Fail {
				events[place] = erased(d, place)
			}
			place++
		}
	}
	return events, nil
}

// erased is the event that stands where one of an erased person was.
func erased(d provider.Message, place int) provider.Event {
	e := payload.New(d, place)
	payload.SetID(&e, d, "event.id", nil)
	payload.SetType(&e, "type", payload.Value(payload.Erased).Member("type"))
	return payload.Unmirrored(e)
}

func (p *Provider) halt(c *Compiled, why string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.compiled == c {
		p.haltedUntil, p.halted = now.Add(haltTime), why
	}
}

// isHalted returns why a definition does not run now, empty if it does.
func (p *Provider) isHalted(c *Compiled, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.compiled != c || !now.Before(p.haltedUntil) {
		return ""
	}
	return fmt.Sprintf("the mapping is halted until %s: %s. Change the definition, then replay the failed events",
		p.haltedUntil.UTC().Format(time.RFC3339), p.halted)
}
