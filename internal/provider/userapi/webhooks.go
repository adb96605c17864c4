package userapi

import (
	"context"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

// Provisioner is a provider at which authsync can set up its own webhook.
type Provisioner interface {
	// NewWebhooks prepares that; it sends nothing. The error is a fault.Unsupported if the credentials
	// do not suffice, and lists the missing ones.
	NewWebhooks(c provider.Credentials, o provider.Options, d Deps) (Webhooks, error)
}

// Webhooks are the webhooks of one provider account. A Webhooks changes and removes only the one
// that is authsync's: the one it is told the id of, the one that carries the key, or one that goes to
// the wanted URL already. The errors are those of a Source; fault.Unsupported is what a person has
// to resolve at the provider.
type Webhooks interface {
	// MissingPermissions names the permissions that the credentials lack for all of this, and
	// changes nothing. A provider without permissions returns none.
	MissingPermissions(ctx context.Context) ([]string, error)
	// Find returns the webhook; nil if there is none.
	Find(ctx context.Context, w WantedWebhook) (*Webhook, error)
	// Ensure creates the webhook, or makes the one there is what it should be, with its secret. A
	// second call after a lost answer finds the webhook of the first.
	Ensure(ctx context.Context, w WantedWebhook) (Webhook, error)
	// Differences compares a webhook, or nil, with what it should be; each is a sentence without a full
	// stop. What the provider does not show, such as a secret, is not compared.
	Differences(found *Webhook, w WantedWebhook) []string
	// SendTest has the provider send its own test event, and returns the event's id as the inbox has
	// it.
	SendTest(ctx context.Context, id string) (eventID string, err error)
	// TestFailure returns what the provider says of a test event that has not arrived; empty if it
	// says nothing.
	TestFailure(ctx context.Context, id, eventID string) string
	// Remove removes a webhook that authsync made. One that is gone already is no error.
	Remove(ctx context.Context, id string) error
}

// WantedWebhook is where a webhook should lead, and how it is recognised.
type WantedWebhook struct {
	// Key marks it at the provider as authsync's, for one project: no two webhooks there share it.
	Key string
	// ID is the provider's id of the webhook, if it is known, and Made whether authsync created it.
	ID   string
	Made bool
	// URL is the receiver's.
	URL string
}

// Webhook is a webhook as the provider has it.
type Webhook struct {
	ID      string
	URL     string
	Enabled bool
	// EventTypes are those it sends, sorted.
	EventTypes []string
	// Made reports that authsync created it, rather than found it.
	Made bool
	// Secret is what it signs with, where the provider tells; it must never be shown.
	Secret provider.Secret
}

// WebhookDifferences are sentences about how a webhook differs from what it should be, as far as it is
// seen. what names it, as in "the event stream".
func WebhookDifferences(what string, found *Webhook, want Webhook) (differences []string) {
	if found == nil {
		return []string{what + " is not there"}
	}
	if !found.Enabled {
		differences = append(differences, what+" is disabled")
	}
	if found.URL != want.URL {
		differences = append(differences, what+" goes to another URL than the receiver's")
	}
	without := func(from, of []string) string {
		return strings.Join(slices.DeleteFunc(slices.Clone(from), func(t string) bool { return slices.Contains(of, t) }), ", ")
	}
	if lacking := without(want.EventTypes, found.EventTypes); lacking != "" {
		differences = append(differences, what+" does not send "+lacking)
	}
	if surplus := without(found.EventTypes, want.EventTypes); surplus != "" {
		differences = append(differences, what+" also sends "+surplus+", which is not mirrored")
	}
	return differences
}
