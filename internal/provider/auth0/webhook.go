package auth0

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// The Management API permissions that setting up an event stream needs, beside readEventStreams.
// Reading deliveries is of use, to say why a test event has not arrived, but not required.
const (
	createEventStreams = "create:event_streams"
	updateEventStreams = "update:event_streams"
	deleteEventStreams = "delete:event_streams"
)

const (
	webhookType   = "webhook"
	keySubscribed = "event_type"
	keyAuthMethod = "method"
	testEvent     = userCreated
	maxStreams    = 4 << 20 // bytes of an answer
	streamsPath   = "/api/v2/event-streams"
)

// streamPermissions are required before anything is changed: whoever may create a stream but not
// delete it would leave one behind.
func streamPermissions() []string {
	return []string{readEventStreams, createEventStreams, updateEventStreams, deleteEventStreams}
}

// webhooks are the event streams of a tenant; see userapi.Webhooks.
type webhooks struct {
	*source

	options provider.Options
}

// NewWebhooks sets up event streams through the Management API (its definition, 2026-10), as the
// application given by domain, client_id and client_secret. It needs the permissions read:,
// create:, update: and delete:event_streams.
func (Provider) NewWebhooks(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Webhooks, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if missing := missingOf(c); len(missing) > 0 {
		return nil, fault.Newf(fault.Unsupported, "missing: %s (of an application that may use the Management API with %s; %s)",
			strings.Join(missing, ", "), strings.Join(streamPermissions(), ", "), wherePermission)
	}
	base, err := baseURL(c, o)
	if err != nil {
		return nil, err
	}
	secrets := append(provider.Secrets{c.ClientSecret}, c.WebhookSigningSecret...) // an answer may repeat what was sent
	if a := c.WebhookAuthorization; a != nil {
		secrets = append(secrets, a.Token, a.Password, a.HeaderValue)
	}
	s := &source{base: base, credentials: c}
	s.client = userapi.NewClient(provider.Title(provider.Auth0), d, userapi.Rate{}, secrets...)
	return &webhooks{source: s, options: o}, nil
}

// MissingPermissions compares the scope of a new token, which lists what was granted: a cached one may
// be older than a grant.
func (w *webhooks) MissingPermissions(ctx context.Context) ([]string, error) {
	w.tokens.mu.Lock()
	defer w.tokens.mu.Unlock()
	answer, err := w.askToken(ctx)
	if err != nil {
		return nil, err
	}
	w.keepToken(answer)
	if answer.Scope == nil {
		return nil, nil
	}
	granted := strings.Fields(*answer.Scope)
	return slices.DeleteFunc(streamPermissions(), func(name string) bool { return slices.Contains(granted, name) }), nil
}

// eventTypes are the mirrored types of the groups that are mirrored. Auth0 has none for sessions.
func eventTypes(o provider.Options) []string {
	types := []string{userCreated, userUpdated, userDeleted}
	if _, mirrored := o.Mirrors(record.Organization); mirrored {
		types = append(types, organizationCreated, organizationUpdated, organizationDeleted, memberAdded, memberDeleted, roleAssigned, roleDeleted)
	}
	slices.Sort(types)
	return types
}

// Find looks a stream up among all: a tenant has a few.
func (w *webhooks) Find(ctx context.Context, want userapi.WantedWebhook) (*userapi.Webhook, error) {
	all, err := w.allStreams(ctx)
	if err != nil {
		return nil, err
	}
	return w.ours(all, want)
}

// ours chooses authsync's stream: the one that is known, if it is still a webhook that authsync made or
// that goes to the receiver; otherwise the one that goes to the receiver. The error is about a
// stream that bears the key but goes elsewhere: another authsync's, or one that a person has changed.
func (w *webhooks) ours(all []eventStream, want userapi.WantedWebhook) (*userapi.Webhook, error) {
	var found *eventStream
	for i := range all {
		one := &all[i]
		leads := one.Destination.Type == webhookType && one.Destination.Configuration.Endpoint == want.URL
		isKnown := want.ID != "" && one.ID == want.ID && (leads || want.Made && one.Destination.Type == webhookType)
		if isKnown || leads && (found == nil || found.ID != want.ID && one.Name == want.Key) {
			found = one
		}
	}
	if found == nil {
		for i := range all {
			if all[i].Name == want.Key {
				return nil, w.foreign(&all[i])
			}
		}
		return nil, nil //nolint:nilnil // none is no error
	}
	types := make([]string, 0, len(found.Subscriptions))
	for _, s := range found.Subscriptions {
		types = append(types, s.EventType)
	}
	slices.Sort(types)
	return &userapi.Webhook{
		ID: found.ID, URL: found.Destination.Configuration.Endpoint, Enabled: found.Status != streamDisabled, EventTypes: types,
		// The name has the project's id: a stream of that name to this receiver was made by a call whose answer was lost.
		Made: found.Name == want.Key || found.ID == want.ID && want.Made,
	}, nil
}

func (w *webhooks) foreign(s *eventStream) error {
	return fault.New(fault.Unsupported, w.client.Say(fmt.Sprintf("event stream %s of this Auth0 tenant has the name that authsync gives its own, %q, "+
		"but goes to %s: it is left as it is. If it belongs to another authsync with a copy of this project, use another tenant; "+
		"otherwise delete or rename it (Auth0 dashboard, Event Streams)", s.ID, s.Name, cmp.Or(s.endpoint(), "no webhook"))))
}

// Ensure creates the stream, or changes it. Auth0 never shows the secret, so that each call sets it.
func (w *webhooks) Ensure(ctx context.Context, want userapi.WantedWebhook) (userapi.Webhook, error) {
	authorization, err := w.authorization()
	if err != nil {
		return userapi.Webhook{}, err
	}
	found, err := w.Find(ctx, want)
	if err != nil {
		return userapi.Webhook{}, err
	}
	if found == nil {
		if found, err = w.create(ctx, want, authorization); err != nil || found.Made {
			return deref(found), err
		}
	}
	return w.update(ctx, *found, want, authorization)
}

func deref(w *userapi.Webhook) userapi.Webhook {
	if w == nil {
		return userapi.Webhook{}
	}
	return *w
}

// authorization is how the stream proves itself, in Auth0's terms.
func (w *webhooks) authorization() (map[string]any, error) {
	c := w.credentials
	switch a := c.WebhookAuthorization; {
	case len(c.WebhookSigningSecret) > 0:
		secret := strings.TrimSpace(string(c.WebhookSigningSecret[0]))
		if scheme, rest := splitScheme(secret); scheme == methodBearer {
			secret = rest
		} else if scheme != "" {
			return nil, fault.New(fault.Unsupported, "credentials.webhook_signing_secret begins with "+scheme+
				", which an event stream cannot send as it is: set credentials.webhook_authorization with that method instead")
		}
		return map[string]any{keyAuthMethod: methodBearer, "token": secret}, nil
	case a == nil:
		return nil, fault.New(fault.Unsupported, "the integration has no webhook_signing_secret for the event stream: set one, "+
			"or store the integration again with options.provision, which makes one")
	case a.Method == methodBasic:
		return map[string]any{keyAuthMethod: a.Method, "username": a.Username, "password": string(a.Password)}, nil
	case a.Method == methodCustomHeader:
		return map[string]any{keyAuthMethod: a.Method, "header_key": a.HeaderKey, "header_value": string(a.HeaderValue)}, nil
	default:
		return map[string]any{keyAuthMethod: methodBearer, "token": string(a.Token)}, nil
	}
}

// body is the stream as it should be.
func (w *webhooks) body(want userapi.WantedWebhook, authorization map[string]any) map[string]any {
	var subscriptions []map[string]string
	for _, name := range eventTypes(w.options) {
		subscriptions = append(subscriptions, map[string]string{keySubscribed: name})
	}
	return map[string]any{
		"subscriptions": subscriptions,
		"destination": map[string]any{"type": webhookType, "configuration": map[string]any{
			"webhook_endpoint": want.URL, "webhook_authorization": authorization,
		}},
		"status": streamEnabled,
	}
}

// create creates the stream. 409 is the answer to a name that is in use as well as to too many
// streams: what is there then decides.
func (w *webhooks) create(ctx context.Context, want userapi.WantedWebhook, authorization map[string]any) (*userapi.Webhook, error) {
	const what = "create an event stream"
	body := w.body(want, authorization)
	body["name"] = want.Key
	answer, err := w.doWith(ctx, createEventStreams, userapi.Request{MaxBody: maxStreams, What: what, Method: http.MethodPost, URL: w.base + streamsPath, JSON: body})
	if err != nil {
		return nil, err
	}
	if answer.Status == http.StatusConflict {
		all, err := w.allStreams(ctx)
		if err != nil {
			return nil, err
		}
		if found, err := w.ours(all, want); err != nil || found != nil {
			return found, err
		}
		return nil, fault.New(fault.Unsupported, fmt.Sprintf("Auth0 takes no further event stream (409%s): the tenant has %d (%s), and its plan allows a number "+
			"(Free 1, self-service 4, Enterprise 8). Delete one that is not needed, or point one of them at the webhook URL, and authsync adopts it",
			w.said(answer), len(all), w.shown(all)))
	}
	if !answer.OK() {
		return nil, w.unexpected(what, answer)
	}
	var made eventStream
	if json.Unmarshal(answer.Body, &made) != nil || made.ID == "" {
		return nil, fault.New(fault.ProviderError, what+": the answer has no id")
	}
	return &userapi.Webhook{ID: made.ID, URL: want.URL, Enabled: true, EventTypes: eventTypes(w.options), Made: true}, nil
}

func (w *webhooks) update(ctx context.Context, found userapi.Webhook, want userapi.WantedWebhook, authorization map[string]any) (userapi.Webhook, error) {
	const what = "change the event stream"
	answer, err := w.doWith(ctx, updateEventStreams, userapi.Request{
		MaxBody: maxStreams, What: what, Method: http.MethodPatch, URL: w.base + streamPath(found.ID, ""), JSON: w.body(want, authorization),
	})
	if err != nil {
		return userapi.Webhook{}, err
	}
	switch {
	case answer.OK():
		found.URL, found.Enabled, found.EventTypes = want.URL, true, eventTypes(w.options)
		return found, nil
	case !found.Enabled && answer.Status/100 == 4:
		return userapi.Webhook{}, fault.New(fault.Unsupported, fmt.Sprintf("Auth0 does not enable event stream %s (%d%s): it refuses while 5000 or more deliveries "+
			"are failed. Have them sent again (authsync redeliver), then set up once more", w.client.Say(found.ID), answer.Status, w.said(answer)))
	default:
		return userapi.Webhook{}, w.unexpected(what, answer)
	}
}

// Differences compares what Auth0 shows.
func (w *webhooks) Differences(found *userapi.Webhook, want userapi.WantedWebhook) []string {
	return userapi.WebhookDifferences("the event stream", found, userapi.Webhook{URL: want.URL, EventTypes: eventTypes(w.options)})
}

// SendTest sends Auth0's stock user, marked as a test by a0purpose.
func (w *webhooks) SendTest(ctx context.Context, id string) (string, error) {
	const what = "send a test event"
	answer, err := w.doWith(ctx, updateEventStreams, userapi.Request{
		MaxBody: maxStreams, What: what, Method: http.MethodPost, URL: w.base + streamPath(id, "/test"), JSON: map[string]any{keySubscribed: testEvent},
	})
	if err != nil {
		return "", err
	}
	if !answer.OK() {
		return "", w.unexpected(what, answer)
	}
	var sent struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer.Body, &sent) != nil || sent.ID == "" {
		return "", fault.New(fault.ProviderError, what+": the answer has no id")
	}
	return sent.ID, nil
}

// TestFailure reads the delivery, which is listed once it has failed; that needs read:event_deliveries.
func (w *webhooks) TestFailure(ctx context.Context, id, eventID string) string {
	answer, err := w.doWith(ctx, readEventDeliveries, userapi.Request{MaxBody: maxStreams, What: "read a delivery", URL: w.base + streamPath(id, "/deliveries/"+eventID)})
	if err != nil || !answer.OK() {
		return ""
	}
	var d struct {
		Attempts []struct {
			Message string `json:"error_message"`
		} `json:"attempts"`
	}
	if json.Unmarshal(answer.Body, &d) != nil || len(d.Attempts) == 0 {
		return ""
	}
	return w.client.Say(d.Attempts[len(d.Attempts)-1].Message)
}

// Remove deletes a stream.
func (w *webhooks) Remove(ctx context.Context, id string) error {
	const what = "delete the event stream"
	answer, err := w.doWith(ctx, deleteEventStreams, userapi.Request{
		MaxBody: maxStreams, What: what, Method: http.MethodDelete, URL: w.base + streamPath(id, ""), Read: func([]byte) error { return nil }, // it is empty
	})
	switch {
	case err != nil:
		return err
	case answer.OK() || isGone(answer):
		return nil
	default:
		return w.unexpected(what, answer)
	}
}
