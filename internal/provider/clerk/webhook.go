package clerk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// webhooks are the endpoints of an instance's Svix application; see userapi.Webhooks.
type webhooks struct {
	*source

	credentials provider.Credentials
	options     provider.Options
	ownBase     bool // option base_url is set
	svix        svix
}

// NewWebhooks sets up an endpoint in the Svix application of the instance of secret_key. It touches only the
// endpoint that bears authsync's own uid.
func (Provider) NewWebhooks(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.Webhooks, error) {
	w, err := newWebhooks(c, o, d)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func newWebhooks(c provider.Credentials, o provider.Options, d userapi.Deps) (*webhooks, error) {
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if c.SecretKey == "" {
		return nil, fault.New(fault.Unsupported, "missing: credentials.secret_key (Clerk dashboard, API keys)")
	}
	base, err := baseURL(o)
	if err != nil {
		return nil, err
	}
	secrets := append(provider.Secrets{c.SecretKey}, c.WebhookSigningSecret...)
	return &webhooks{
		source:      &source{client: userapi.NewClient(provider.Title(provider.Clerk), d, rate(c.SecretKey), secrets...), base: base, key: string(c.SecretKey)},
		credentials: c, options: o, ownBase: o.BaseURL != "",
	}, nil
}

// MissingPermissions opens the application: a secret key may do everything, or is refused.
func (w *webhooks) MissingPermissions(ctx context.Context) ([]string, error) {
	_, _, err := w.session(ctx)
	return nil, w.surprise(err)
}

// eventTypes are the mirrored types of the groups that are mirrored.
func eventTypes(o provider.Options) []string {
	types := []string{userCreated, userUpdated, userDeleted}
	if _, mirrored := o.Mirrors(record.Organization); mirrored {
		types = append(types, organizationCreated, organizationUpdated, organizationDeleted, membershipCreated, membershipUpdated, membershipDeleted,
			invitationCreated, invitationAccepted, invitationRevoked)
	}
	if _, mirrored := o.Mirrors(record.Session); mirrored {
		types = append(types, sessionCreated, sessionPending, sessionEnded, sessionRemoved, sessionRevoked)
	}
	slices.Sort(types)
	return types
}

// endpoint is the relevant part of an endpoint of Svix's (its API, 2026-08).
type endpoint struct {
	ID          string   `json:"id"`
	UID         string   `json:"uid"`
	URL         string   `json:"url"`
	Disabled    bool     `json:"disabled"`
	FilterTypes []string `json:"filterTypes"`

	CreatedAt time.Time `json:"createdAt"`
}

const (
	endpointPath = "/endpoint"
	maxPages     = 20
)

// uidOf is the key in the form of a uid.
func uidOf(want userapi.WantedWebhook) string { return strings.ReplaceAll(want.Key, " ", "-") }

// Find looks for the endpoint that bears our uid. One that a person made stays theirs, wherever it leads.
func (w *webhooks) Find(ctx context.Context, want userapi.WantedWebhook) (*userapi.Webhook, error) {
	one, err := w.byUID(ctx, uidOf(want))
	if err != nil || one == nil {
		return nil, err
	}
	return w.ours(*one, want)
}

// byUID returns the endpoint of a uid; nil if there is none.
func (w *webhooks) byUID(ctx context.Context, uid string) (*endpoint, error) {
	const what = "list the webhook endpoints"
	iterator := ""
	for range maxPages {
		query := url.Values{"limit": {"250"}}
		if iterator != "" {
			query.Set("iterator", iterator)
		}
		answer, err := w.call(ctx, userapi.Request{What: what, URL: endpointPath + "?" + query.Encode()})
		if err != nil {
			return nil, err
		}
		if !answer.OK() {
			return nil, w.unexpected(what, answer)
		}
		var page struct {
			Data     []endpoint `json:"data"`
			Iterator string     `json:"iterator"`
			Done     *bool      `json:"done"`
		}
		if json.Unmarshal(answer.Body, &page) != nil || page.Done == nil {
			return nil, w.surprise(fault.New(fault.ProviderError, what+" of Clerk: the answer is no list"))
		}
		for _, one := range page.Data {
			if one.UID == uid && one.ID != "" {
				return &one, nil
			}
		}
		if *page.Done || page.Iterator == "" || page.Iterator == iterator {
			return nil, nil //nolint:nilnil // none is no error
		}
		iterator = page.Iterator
	}
	return nil, w.surprise(fault.New(fault.ProviderError, what+" of Clerk: the list has no end"))
}

// ours checks that an endpoint with our uid is this server's: one that leads elsewhere is, if this server is known
// to have made it.
func (w *webhooks) ours(one endpoint, want userapi.WantedWebhook) (*userapi.Webhook, error) {
	if one.URL != want.URL && one.ID != want.ID {
		address, err := url.Parse(one.URL)
		if err != nil {
			address = &url.URL{}
		}
		return nil, fault.New(fault.Unsupported, w.client.Say(fmt.Sprintf("endpoint %s of this Clerk instance has the uid that authsync gives its own, %s, "+
			"but goes to %s: it is left as it is. If it belongs to another authsync with a copy of this project, use another instance; otherwise delete it "+
			"(Clerk dashboard, Configure, Webhooks)", one.ID, one.UID, address.Host+address.EscapedPath())))
	}
	types := slices.Clone(one.FilterTypes)
	slices.Sort(types)
	return &userapi.Webhook{ID: one.ID, URL: one.URL, Enabled: !one.Disabled, EventTypes: types, Made: true}, nil
}

// Ensure creates the endpoint or changes it, and brings its signing secret and the stored ones together.
func (w *webhooks) Ensure(ctx context.Context, want userapi.WantedWebhook) (userapi.Webhook, error) {
	found, err := w.Find(ctx, want)
	if err != nil {
		return userapi.Webhook{}, err
	}
	body := map[string]any{
		"url": want.URL, "uid": uidOf(want), "description": "authsync", "filterTypes": eventTypes(w.options), "disabled": false,
	}
	if found == nil {
		if found, err = w.create(ctx, want, body); err != nil {
			return userapi.Webhook{}, err
		}
	}
	if len(w.Differences(found, want)) > 0 {
		if err := w.put(ctx, found.ID, body); err != nil {
			return userapi.Webhook{}, err
		}
		found.URL, found.Enabled, found.EventTypes = want.URL, true, eventTypes(w.options)
	}
	found.Secret, err = w.secret(ctx, found.ID)
	return *found, err
}

// create creates the endpoint. 409 is the answer to a uid that is in use, because an earlier call, or another process,
// was faster.
func (w *webhooks) create(ctx context.Context, want userapi.WantedWebhook, body map[string]any) (*userapi.Webhook, error) {
	const what = "create a webhook endpoint"
	answer, err := w.call(ctx, userapi.Request{What: what, Method: http.MethodPost, URL: endpointPath, JSON: body})
	if err != nil {
		return nil, err
	}
	if answer.Status == http.StatusConflict {
		found, err := w.Find(ctx, want)
		if err == nil && found == nil {
			err = w.unexpected(what, answer)
		}
		return found, err
	}
	var made endpoint
	if !answer.OK() || json.Unmarshal(answer.Body, &made) != nil || made.ID == "" {
		return nil, w.unexpected(what, answer)
	}
	return &userapi.Webhook{ID: made.ID, URL: want.URL, Enabled: true, EventTypes: eventTypes(w.options), Made: true}, nil
}

func (w *webhooks) put(ctx context.Context, id string, body map[string]any) error {
	const what = "change the webhook endpoint"
	answer, err := w.call(ctx, userapi.Request{What: what, Method: http.MethodPut, URL: endpointPath + "/" + url.PathEscape(id), JSON: body})
	if err != nil {
		return err
	}
	if !answer.OK() {
		return w.unexpected(what, answer)
	}
	return nil
}

// secret returns the endpoint's signing secret. If that is stored, but not the newest of those that are, a person
// has stored another one since: the endpoint gets it, and Svix signs with both for a while.
func (w *webhooks) secret(ctx context.Context, id string) (provider.Secret, error) {
	const what = "read the signing secret"
	path := endpointPath + "/" + url.PathEscape(id) + "/secret"
	answer, err := w.call(ctx, userapi.Request{What: what, URL: path})
	if err != nil {
		return "", err
	}
	var there struct {
		Key provider.Secret `json:"key"`
	}
	if !answer.OK() || json.Unmarshal(answer.Body, &there) != nil || there.Key.Check("the signing secret") != nil {
		return "", w.surprise(w.client.Unexpected(what, answer, "")) // what it says may be the secret
	}
	stored := w.credentials.WebhookSigningSecret
	if !slices.Contains(stored, there.Key) || stored[0] == there.Key {
		return there.Key, nil
	}
	const rotating = "rotate the signing secret"
	answer, err = w.call(ctx, userapi.Request{
		What: rotating, Method: http.MethodPost, URL: path + "/rotate", JSON: map[string]any{"key": string(stored[0])}, Read: func([]byte) error { return nil }, // it is empty
	})
	if err != nil {
		return "", err
	}
	if !answer.OK() {
		return "", w.surprise(w.client.Unexpected(rotating, answer, ""))
	}
	return stored[0], nil
}

// Differences compares what Svix shows.
func (w *webhooks) Differences(found *userapi.Webhook, want userapi.WantedWebhook) []string {
	return userapi.WebhookDifferences("the webhook endpoint", found, userapi.Webhook{URL: want.URL, EventTypes: eventTypes(w.options)})
}

// SendTest sends Svix's example of a user, which the decoder knows and ignores. The message's id is the event's.
func (w *webhooks) SendTest(ctx context.Context, id string) (string, error) {
	const what = "send a test event"
	answer, err := w.call(ctx, userapi.Request{
		What: what, Method: http.MethodPost, URL: endpointPath + "/" + url.PathEscape(id) + "/send-example", JSON: map[string]string{"eventType": userCreated},
	})
	if err != nil {
		return "", err
	}
	var sent struct {
		ID string `json:"id"`
	}
	if !answer.OK() || json.Unmarshal(answer.Body, &sent) != nil || sent.ID == "" {
		return "", w.unexpected(what, answer)
	}
	return sent.ID, nil
}

// TestFailure reads the attempts of the message.
func (w *webhooks) TestFailure(ctx context.Context, _, eventID string) string {
	answer, err := w.call(ctx, userapi.Request{What: "read the attempts", URL: "/attempt/msg/" + url.PathEscape(eventID)})
	if err != nil || !answer.OK() {
		return ""
	}
	var page struct {
		Data []struct {
			Status int `json:"responseStatusCode"`
		} `json:"data"`
	}
	if json.Unmarshal(answer.Body, &page) != nil || len(page.Data) == 0 {
		return ""
	}
	return fmt.Sprintf("the receiver answered %d", page.Data[0].Status)
}

// Remove removes an endpoint.
func (w *webhooks) Remove(ctx context.Context, id string) error {
	const what = "remove the webhook endpoint"
	answer, err := w.call(ctx, userapi.Request{
		What: what, Method: http.MethodDelete, URL: endpointPath + "/" + url.PathEscape(id), Read: func([]byte) error { return nil }, // it is empty
	})
	switch {
	case err != nil:
		return err
	case answer.OK() || isSvixGone(answer):
		return nil
	default:
		return w.unexpected(what, answer)
	}
}

// isSvixGone reports whether Svix itself says that something does not exist.
func isSvixGone(answer *userapi.Response) bool {
	var said struct {
		Code string `json:"code"`
	}
	return answer.Status == http.StatusNotFound && json.Unmarshal(answer.Body, &said) == nil && said.Code != ""
}
